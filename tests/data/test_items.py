"""What a source holds: by its index or by looking, each split apart, and one line where there is nothing."""

from pathlib import Path

import pytest

from magvit2.data.frames import read_item
from magvit2.data.items import MediaItem, find, find_items, first_of_each_group
from magvit2.errors import InputError
from magvit2.video import write_image
from tests.data.making import grey_frames, make_source, write_index, write_tar, write_video


def levels(items: list[MediaItem]) -> list[int]:
    return [int(read_item(item)[0, 0, 0, 0]) for item in items]


def test_an_index_gives_every_kind_of_item_with_what_it_says(tmp_path: Path) -> None:
    items = find_items(make_source(tmp_path))
    told = [(item.path.name, item.kind, item.group, item.label, item.num_frames) for item in items]
    assert told == [
        ("train.mkv", "video", "clips", "walk", 6),
        ("train.png", "image", "photos", "tree", 1),
        ("train.png", "strip", "strips", "jump", 5),
        ("train.tar", "image", "tars", "cat", 1),
        ("train.tar", "image", "tars", "dog", 1),
    ]
    assert levels(items) == [10, 30, 40, 60, 61]
    assert [item.is_clip for item in items] == [True, False, True, False, False]


def test_splits_are_apart(tmp_path: Path) -> None:
    source = make_source(tmp_path)
    assert levels(find_items(source, "val")) == [110, 160]
    assert levels(find_items(source, "test")) == [210, 230]


def test_a_folder_without_an_index_holds_its_media_labelled_by_their_folders(tmp_path: Path) -> None:
    write_video(tmp_path / "sports" / "run" / "b.mkv", grey_frames(2, 1))
    write_video(tmp_path / "a.mkv", grey_frames(2, 2))
    write_image(tmp_path / "sports" / "c.png", grey_frames(1, 3)[0])
    write_image(tmp_path / "sports" / "d.webp", grey_frames(1, 4)[0])
    (tmp_path / "sports" / "notes.txt").write_text("no medium")
    (tmp_path / "sports" / ".e.mkv.12ab.partial").write_bytes(b"half a video")
    for split in ("train", "test"):
        items = find_items(tmp_path, split)
        assert [(i.path.name, i.kind, i.group, i.label) for i in items] == [
            ("a.mkv", "video", "", ""),
            ("c.png", "image", "sports", "sports"),
            ("d.webp", "image", "sports", "sports"),
            ("b.mkv", "video", "sports", "run"),
        ]
        assert levels(items) == [2, 3, 4, 1]


def test_files_beside_the_index_form_one_group(tmp_path: Path) -> None:
    names = ["a.mkv", "b.mkv", "more/c.mkv"]
    for name in names:
        write_video(tmp_path / name, grey_frames(1, 0))
    write_index(tmp_path, [f"{name},video,train,," for name in names])
    assert [item.group for item in find_items(tmp_path)] == ["", "", "more"]


def test_the_first_items_of_each_group_keep_their_order() -> None:
    items = [MediaItem(Path(name), "image", name[0]) for name in ("a1", "b1", "a2", "a3", "b2")]
    assert [item.path.name for item in first_of_each_group(items, 2)] == ["a1", "b1", "a2", "b2"]


def one_line_about(source: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        find_items(source)
    assert str(source) in str(error.value) and "\n" not in str(error.value)


def test_a_source_without_items_is_one_line(tmp_path: Path) -> None:
    one_line_about(tmp_path, "expected videos or images below it, found none")
    one_line_about(tmp_path / "missing", "not a folder")
    write_index(tmp_path, ["a.mkv,video,test,,"])
    one_line_about(tmp_path, "expected rows of split 'train'")


def test_an_index_that_is_none_is_one_line(tmp_path: Path) -> None:
    write_index(tmp_path, ["a.mkv,film,train,,"])
    one_line_about(tmp_path, r"kind 'film' of a\.mkv; expected video, image, strip, tar, webdataset or shard")
    write_index(tmp_path, ["a.mkv,train"], header="path,split")
    one_line_about(tmp_path, "the columns kind are missing")
    write_index(tmp_path, ["a.mkv,video,train,,"])
    one_line_about(tmp_path, r"line 2: .*a\.mkv is missing \(1 of 1 files are\)")
    (tmp_path / "index.csv").write_bytes(b"\xff\xfe\x00\x80")
    one_line_about(tmp_path, "cannot be read as a table")
    (tmp_path / "index.csv").write_text("")
    one_line_about(tmp_path, "the columns path, kind, split are missing")


def test_a_tar_file_that_is_missing_or_compressed_is_one_line(tmp_path: Path) -> None:
    write_index(tmp_path, ["tars/a.tar,tar,train,,"])
    one_line_about(tmp_path, "uncompressed tar")
    write_tar(tmp_path / "tars" / "a.tar", {"x/0.png": 1}, mode="w:gz")
    one_line_about(tmp_path, "uncompressed tar")


@pytest.mark.data
def test_the_real_index_keeps_train_apart_and_finds_every_group(data_dir: Path) -> None:
    train, val, test = (find_items(data_dir, split) for split in ("train", "val", "test"))
    places = [{(item.path, item.member) for item in items} for items in (train, val, test)]
    assert len(set.union(*places)) == len(train) + len(val) + len(test)
    assert {"arid6_160", "cctv_144", "imagenet_sample256", "tiny_imagenet50", "weizmann4_64"} <= {
        i.group for i in train
    }
    assert all(item.path.is_file() for items in (train, val, test) for item in items)
    for item in first_of_each_group(train, 1):
        assert read_item(item, num_frames=2).ndim == 4


@pytest.mark.parametrize("place", ["UCF-101", "UCF-101/ucfTrainTestlist", ".", "ucfTrainTestlist"])
def test_ucf_101_is_split_by_its_lists_in_their_order(tmp_path: Path, place: str) -> None:
    source, lists = tmp_path / "UCF-101", tmp_path / place
    for number, name in enumerate(("Archery/v_g01", "Archery/v_g08", "Biking/v_g01", "Biking/v_g08")):
        write_video(source / f"{name}.mkv", grey_frames(2, 10 * number))
    lists.mkdir(exist_ok=True)
    (lists / "trainlist01.txt").write_text("Biking/v_g08.mkv 2\nArchery/v_g08.mkv 1\n")
    (lists / "testlist01.txt").write_text("Archery/v_g01.mkv\r\nBiking/v_g01.mkv\r\n")
    assert levels(find_items(source, "train")) == [30, 10]
    items = find_items(source, "test")
    assert levels(items) == [0, 20]
    assert [(item.group, item.label, item.kind) for item in items] == [
        ("UCF-101", "Archery", "video"), ("UCF-101", "Biking", "video"),
    ]  # fmt: skip
    assert find(source, "test").scope == "UCF-101 testlist01.txt"
    with pytest.raises(InputError, match="UCF-101 has no split 'val'; expected train or test"):
        find_items(source, "val")
    (source / "Biking" / "v_g01.mkv").unlink()
    with pytest.raises(InputError, match=r"testlist01\.txt: 1 of 2 are missing in .*, Biking/v_g01\.mkv first"):
        find_items(source, "test")


def test_what_is_taken_of_a_source_can_be_said(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mkv", grey_frames(2, 1))
    assert find(tmp_path, "val").scope == "no index, all items"
    assert find(make_source(tmp_path), "val").scope == "split val"
