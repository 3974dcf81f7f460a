"""WebDataset shards are a source: samples with labels, the frames that a file would give, damage in one line."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from magvit2.data.batches import BatchSpec, TrainingBatches
from magvit2.data.frames import count_frames, read_item
from magvit2.data.items import MediaItem, find, find_items, root_of
from magvit2.data.pack import PackSettings, pack_items
from magvit2.errors import InputError, MediaError
from magvit2.evaluation.reconstruction import rate_of
from magvit2.evaluation.running import hash_of_list
from tests.data.making import grey_frames, make_source, png, write_members, write_video


def video(folder: Path, suffix: str, first: int, num_frames: int = 6) -> bytes:
    path = folder / f"made{suffix}"
    write_video(path, grey_frames(num_frames, first, 32, 48))
    return path.read_bytes()


def told(items: list[MediaItem]) -> list[tuple[str, str, str]]:
    return [(item.entry, item.kind, item.label) for item in items]


def level(item: MediaItem) -> int:
    return int(read_item(item, 0, 1)[0, 0, 0, 0])


def one_line(source: Path) -> str:
    with pytest.raises(InputError) as error:
        find_items(source)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Three shards of three images each, of levels 0 to 8."""
    for number in range(3):
        levels = range(3 * number, 3 * number + 3)
        write_members(tmp_path / "shards" / f"train-{number:03d}.tar", {f"x/{n:09d}.png": png(n) for n in levels})
    return tmp_path / "shards"


def test_a_sample_is_its_video_or_its_first_image_with_its_label(tmp_path: Path) -> None:
    clip = video(tmp_path, ".mkv", 10)
    members = {
        "a/0.json": b'{"label": "from json", "class": 4}', "a/0.cls": b"7\n", "a/0.mkv": clip,
        "a/1.jpg": png(20), "a/1.webm": clip, "a/1.json": b'{"class": 4, "text": "long"}',
        "a/2.png": png(21), "a/2.json": b'{"caption": "x"}', "a/2.txt": b" a walk\n",
        "./walk/3.png": png(22), "walk/3.txt": ("a caption " * 11).encode(),
        "4.LEFT.PNG": png(23), "4.right.png": png(24),
        "walk/5.json": b"[]", "__shard__.txt": b"x", ".hidden.png": b"x", "walk/README": b"x",
    }  # fmt: skip
    items = find_items(write_members(tmp_path / "x.tar", members))
    assert told(items) == [
        ("a/0.mkv", "video", "7"), ("a/1.webm", "video", "4"), ("a/2.png", "image", "a walk"),
        ("walk/3.png", "image", "walk"), ("4.LEFT.PNG", "image", ""),
    ]  # fmt: skip
    assert [level(item) for item in items] == [10, 10, 21, 22, 23]
    assert {item.group for item in items} == {""}
    assert items[0].name == f"{tmp_path}/x.tar/a/0.mkv" and items[0].title == "0"


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_video_in_a_shard_gives_the_frames_of_the_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"made{suffix}"
    data = video(tmp_path, suffix, 50, num_frames=30)
    (item,) = find_items(write_members(tmp_path / "s.tar", {f"one{suffix}": data}))
    alone = MediaItem(path, "video", "")
    assert item.num_frames is None and count_frames(item) == count_frames(alone) == 30
    assert rate_of(item) == rate_of(alone) == 25
    for start, count in ((0, None), (3, 4), (27, 9)):
        assert (read_item(item, start, count) == read_item(alone, start, count)).all()


def test_an_animated_webp_in_a_shard_is_a_clip(tmp_path: Path) -> None:
    from PIL import Image

    first, *rest = [Image.fromarray(frame) for frame in grey_frames(3, 60, step=20)]
    first.save(tmp_path / "a.webp", save_all=True, append_images=rest, lossless=True, duration=40)
    members = {"0.webp": (tmp_path / "a.webp").read_bytes(), "1.png": png(1)}
    clip, image = find_items(write_members(tmp_path / "s.tar", members))
    assert (clip.kind, image.kind, count_frames(clip)) == ("video", "image", 3)
    assert read_item(clip)[:, 0, 0, 0].tolist() == [60, 80, 100]


def test_shards_are_found_alone_by_braces_in_a_folder_and_in_a_list(shards: Path) -> None:
    expected = list(range(9))
    for source in (shards, shards / "train-{000..002}.tar", shards / "train-{000,001,002}.tar"):
        items = find_items(source)
        assert [level(item) for item in items] == expected and {item.group for item in items} == {""}
        assert root_of(source) == shards
        assert hash_of_list(items, source) == hash_of_list(find_items(shards), shards)
    assert [level(item) for item in find_items(shards / "train-001.tar")] == [3, 4, 5]
    (shards / "list.csv").write_text(
        "path,split,group,label\ntrain-{000..001}.tar,train,,\ntrain-002.tar,val,mine,seven\n"
    )
    train, val = (find_items(shards / "list.csv", split) for split in ("train", "val"))
    assert [level(item) for item in train] == expected[:6] and [level(item) for item in val] == expected[6:]
    assert {(item.group, item.label) for item in train} == {("", "x")}
    assert {(item.group, item.label) for item in val} == {("mine", "seven")}


def test_shards_and_loose_media_of_a_folder_are_all_used_by_top_folder(shards: Path) -> None:
    write_video(shards.parent / "more" / "a.mkv", grey_frames(2, 100))
    assert [(item.group, level(item)) for item in find_items(shards.parent)] == [
        ("more", 100), *(("shards", n) for n in range(9)),
    ]  # fmt: skip


def test_missing_shards_are_counted(shards: Path) -> None:
    told = one_line(shards / "train-{001..004}.tar")
    assert told == f"{shards}/train-003.tar is missing (2 of 4 shards are); check the name"
    (shards / "list.csv").write_text("path\ntrain-{001..004}.tar\n")
    assert "train-003.tar: cannot be read as an uncompressed tar file" in one_line(shards / "list.csv")


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar"])
def test_a_compressed_shard_is_refused(name: str, tmp_path: Path) -> None:
    path = write_members(tmp_path / name, {"0.png": png(1)}, "w:gz")
    for source in (path, tmp_path):
        assert f"{path}: is compressed" in one_line(source) and "uncompressed tar file" in one_line(source)


def test_an_archive_that_lies_beside_loose_media_is_left_alone(tmp_path: Path) -> None:
    write_members(tmp_path / "all.tar.gz", {"0.png": png(1)}, "w:gz")
    write_video(tmp_path / "a.mkv", grey_frames(2, 9))
    assert [level(item) for item in find_items(tmp_path)] == [9]


@pytest.mark.parametrize("keep", [5 * 512 + 100, 4 * 512 + 10, 4 * 512, 700, 100, 0])
def test_a_shard_that_is_cut_is_one_line(keep: int, tmp_path: Path) -> None:
    path = write_members(tmp_path / "s.tar", {f"{n}.cls": b"3" * 600 for n in range(3)})
    path.write_bytes(path.read_bytes()[:keep])
    assert f"{path}: cannot be read as an uncompressed tar file (" in one_line(path)


def test_a_shard_with_a_damaged_header_is_one_line_that_says_where(tmp_path: Path) -> None:
    """Python's own reader takes such a place for the end, and would leave out what follows."""
    path = write_members(tmp_path / "s.tar", {f"{n}.cls": b"3" for n in range(3)})
    data = bytearray(path.read_bytes())
    data[1024 + 130] ^= 1
    path.write_bytes(data)
    assert "damaged or cut short at byte 1,024; copy or write it again" in one_line(path)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"0.png": b"", "0.json": b"{"}, r"s\.tar/0\.json: is no JSON"),
        ({"0.png": b"", "0.cls": b"\xff\xfe"}, r"s\.tar/0\.cls: is no text in UTF-8"),
        ({"0.cls": b"1"}, r"s\.tar: expected videos or images below it, found none"),
    ],
)
def test_a_shard_without_media_or_with_a_broken_label_is_one_line(
    members: dict[str, bytes], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        find_items(write_members(tmp_path / "s.tar", members))


def test_a_shard_of_a_pack_is_told_from_one_of_a_webdataset(tmp_path: Path) -> None:
    pack_items(find_items(make_source(tmp_path / "source")), tmp_path / "pack")
    assert "is a shard of a pack; give the pack's folder instead" in one_line(tmp_path / "pack" / "shard-0000.tar")


def test_a_list_s_tar_files_of_images_stay_what_they_were(tmp_path: Path) -> None:
    source = make_source(tmp_path)
    shutil.copy(source / "tars" / "train.tar", tmp_path / "copy.tar")
    (source / "two.csv").write_text("path,kind\ntars/train.tar,tar\ncopy.tar,\n")
    images = find_items(source / "two.csv")
    assert [(item.label, item.num_frames, item.entry) for item in images] == [
        ("cat", 1, ""), ("dog", 1, ""), ("cat", None, "cat/0.png"), ("dog", None, "dog/1.png"),
    ]  # fmt: skip
    assert images[0].name == f"{source}/tars/train.tar@512"


VIDEO = BatchSpec("video", batch_size=2, num_frames=3, size=16)
IMAGE = BatchSpec("image", batch_size=2, num_frames=1, size=16)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A shard of four clips, of which one is cut and one is empty, and two images, of which one is none."""
    clips = [video(tmp_path, ".mp4", 10 * number) for number in range(2)]
    members = {"0.mp4": clips[0], "1.mp4": clips[1], "2.mp4": clips[0][:300], "3.mp4": b""}
    return write_members(tmp_path / "s.tar", {**members, "4.png": png(77), "5.png": b"no image"})


def test_batches_of_shards_are_the_same_on_any_worker_and_name_what_is_damaged(mixed: Path) -> None:
    batches = TrainingBatches(find_items(mixed), (VIDEO, IMAGE), 12, seed=3)
    given = list(DataLoader(batches, batch_size=None, num_workers=2))
    for step in reversed(range(12)):
        ours = batches[step]
        assert torch.equal(ours.clips_u8, given[step].clips_u8) and list(ours.skipped) == list(given[step].skipped)
    reasons = {path: reason for batch in given for path, reason in batch.skipped}
    assert set(reasons) == {f"{mixed}/{name}" for name in ("2.mp4", "3.mp4", "5.png")}
    assert reasons[f"{mixed}/3.mp4"].startswith("is empty (0 bytes)")
    assert all("\n" not in reason and str(mixed) not in reason for reason in reasons.values())


def test_batches_of_a_shard_are_those_of_the_same_files(mixed: Path, tmp_path: Path) -> None:
    good = [item for item in find_items(mixed) if item.entry in ("0.mp4", "1.mp4")]
    for item, first in zip(good, (0, 10), strict=True):
        (tmp_path / f"{item.entry}").write_bytes(video(tmp_path, ".mp4", first))
    loose = [dataclasses.replace(item, path=tmp_path / item.entry, member=None, entry="") for item in good]
    ours, theirs = (list(TrainingBatches(items, (VIDEO,), 4, seed=0)) for items in (good, loose))
    assert all(torch.equal(our.clips_u8, their.clips_u8) for our, their in zip(ours, theirs, strict=True))


def test_a_shard_that_is_cut_after_it_was_found_is_met_as_damage(mixed: Path) -> None:
    items = find_items(mixed)
    mixed.write_bytes(mixed.read_bytes()[:1000])
    with pytest.raises(MediaError, match=r"1\.mp4: lies beyond the end of .*s\.tar, which is cut short"):
        read_item(items[1])


def test_a_pack_takes_samples(mixed: Path, tmp_path: Path) -> None:
    items = [item for item in find_items(mixed) if item.entry in ("0.mp4", "1.mp4", "4.png")]
    pack_items(items, tmp_path / "pack", PackSettings(format="png"))
    assert sorted(level(item) for item in find_items(tmp_path / "pack")) == sorted(level(item) for item in items)


def test_a_key_goes_to_its_side_whatever_shard_it_lies_in(tmp_path: Path) -> None:
    names = [f"film{number}_0001.png" for number in range(60)]
    one = write_members(tmp_path / "one.tar", {name: png(number) for number, name in enumerate(names)})
    for number, name in enumerate(names):
        write_members(tmp_path / "many" / f"{number % 7}.tar", {name: png(number)}, "a")
    for split in ("train", "val"):
        ours, theirs = (find(source, split, hold_out=True).items for source in (one, tmp_path / "many"))
        assert {item.entry for item in ours} == {item.entry for item in theirs} != set(names)


@pytest.mark.parametrize(("values", "label"), [({"label": ["a"], "class": "walk"}, "walk"), ({"label": None}, "f")])
def test_a_label_in_json_is_text_or_a_number(values: object, label: str, tmp_path: Path) -> None:
    members = {"f/0.png": png(1), "f/0.json": json.dumps(values).encode()}
    (item,) = find_items(write_members(tmp_path / "s.tar", members))
    assert item.label == label
