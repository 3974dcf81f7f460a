"""Lists of media: a CSV or JSON lines beside or away from the files are a source, and a bad line is named."""

import json
from pathlib import Path

import pytest

from magvit2.data.frames import read_item
from magvit2.data.items import MediaItem, find, find_items, root_of
from magvit2.errors import InputError
from magvit2.evaluation.running import hash_of_list
from magvit2.video import write_image
from tests.data.making import grey_frames, make_source, write_strip, write_tar, write_video


def write_csv(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def write_jsonl(path: Path, *rows: object) -> Path:
    return write_csv(path, *(json.dumps(row) for row in rows))


def facts(items: list[MediaItem]) -> list[tuple[str, str, str, str, int | None]]:
    return [(item.path.name, item.kind, item.group, item.label, item.num_frames) for item in items]


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A folder with a video of level 1, an image of level 2, a strip of level 3 and a tar with an image of level 4."""
    write_video(tmp_path / "media" / "walk" / "a.mkv", grey_frames(4, 1, step=0))
    write_image(tmp_path / "media" / "b.webp", grey_frames(1, 2)[0])
    write_strip(tmp_path / "media" / "jump" / "c.png", grey_frames(4, 3, 12, 12, step=0))
    write_tar(tmp_path / "media" / "d.tar", {"cat/0.png": 4})
    return tmp_path / "media"


EXPECTED = [
    ("a.mkv", "video", "walk", "7", 4),
    ("b.webp", "image", "", "", None),
    ("c.png", "strip", "mine", "", None),
    ("d.tar", "image", "", "cat", 1),
]


def test_csv_and_json_lines_say_the_same_things(media: Path) -> None:
    table = write_csv(
        media / "list.csv",
        "path,kind,label,group,frames,licence",
        "walk/a.mkv,,7,,4,free",
        "b.webp,,,,,",
        "jump/c.png,strip,,mine,,",
        "d.tar,tar,,,,",
    )
    lines = write_jsonl(
        media / "list.jsonl",
        {"path": "walk/a.mkv", "label": 7, "frames": 4, "licence": ["free"]},
        {"path": "b.webp", "kind": None},
        {"path": "jump/c.png", "kind": "strip", "group": "mine"},
        {"path": "d.tar", "kind": "tar"},
    )
    for source in (table, lines):
        items = find_items(source)
        assert facts(items) == EXPECTED
        assert [int(read_item(item)[0, 0, 0, 0]) for item in items] == [1, 2, 3, 4]


def test_a_list_may_lie_away_from_its_media(media: Path, tmp_path: Path) -> None:
    rows = ["path", "../media/walk/a.mkv", "../media/b.webp", str(media / "jump" / "c.png")]
    items = find_items(write_csv(tmp_path / "lists" / "all.csv", *rows))
    assert [item.path.resolve() for item in items] == [media / "walk" / "a.mkv", media / "b.webp", media / "jump/c.png"]
    assert [item.group for item in items] == ["media", "media", ""]


def test_the_split_column_decides(media: Path) -> None:
    source = write_csv(media / "list.csv", "path,split", "walk/a.mkv,train", "b.webp,val", "jump/c.png,later")
    assert [item.path.name for item in find_items(source)] == ["a.mkv"]
    assert [item.path.name for item in find_items(source, "val")] == ["b.webp"]
    assert find(source, "val").scope == "list.csv, split val"
    with pytest.raises(InputError, match=r"rows of split 'test', found none; its splits are: 'later', 'train', 'val'"):
        find_items(source, "test")


def test_a_list_without_splits_is_used_whole(media: Path) -> None:
    source = write_jsonl(media / "list.jsonl", {"path": "walk/a.mkv"}, {"path": "b.webp"})
    assert find_items(source) == find_items(source, "val") and len(find_items(source)) == 2
    assert find(source, "val").scope == "list.jsonl, all items"


def test_a_list_of_a_spreadsheet_is_read(media: Path) -> None:
    (media / "list.csv").write_bytes('\ufeff"path","label"\r\n"walk/a.mkv","up, down"\r\n\r\n'.encode())
    assert facts(find_items(media / "list.csv")) == [("a.mkv", "video", "walk", "up, down", None)]


def test_the_same_files_have_the_same_hash_by_folder_index_and_list(tmp_path: Path) -> None:
    source = make_source(tmp_path / "data")
    table = source / "other.csv"
    table.write_bytes((source / "index.csv").read_bytes())
    assert root_of(table) == root_of(source) == source
    assert find_items(table) == find_items(source)
    assert hash_of_list(find_items(table), table) == hash_of_list(find_items(source), source)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind,split\nvideo,train\n", r"list\.csv: the columns path are missing; expected path, \.\.\."),
        ("", r"list\.csv: the columns path are missing"),
        ("path\n", r"expected rows of split 'train', found none; its splits are: none"),
        ("path,label\nb.webp,x\n,y\n", r"list\.csv, line 3: has no path"),
        ("path,kind\nb.webp,film\n", r"line 2: kind 'film' of b\.webp; expected video, image, strip, tar, .* or shard"),
        ("path\nd.txt\n", r"line 2: the name d\.txt tells no kind; expected video, image, strip, tar, .* or shard"),
        ("path\nb.webp\ngone.mp4\nlost.mp4\n", r"line 3: .*gone\.mp4 is missing \(2 of 3 files are\)"),
        ("path,split\nb.webp,train\nwalk/a.mkv,\n", r"line 3: has no split, and other rows have one"),
        ("path,frames\nb.webp,many\n", r"line 2: frames 'many': expected a whole number"),
        ("path,label\nwalk/a.mkv,up,down\n", r"line 2: has more fields than the header"),
        ("path\nd.tar\x00\n", r"list\.csv.*: "),
    ],
)
def test_a_bad_line_of_a_csv_is_named(media: Path, text: str, message: str) -> None:
    (media / "list.csv").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        find_items(media / "list.csv")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"path": "b.webp"', r"list\.jsonl, line 3: is no JSON \("),
        ('["b.webp"]', r"line 3: expected an object such as \{\"path\": \"a\.mp4\"\}"),
        ('{"kind": "image"}', r"line 3: has no path"),
        ('{"path": "b.webp", "label": ["x"]}', r"line 3: label is \[\"x\"\]; expected text"),
        ('{"path": "b.webp", "split": "val"}', r"line 1: has no split, and other rows have one"),
    ],
)
def test_a_bad_line_of_json_is_named(media: Path, line: str, message: str) -> None:
    write_csv(media / "list.jsonl", '{"path": "b.webp"}', "", line)
    with pytest.raises(InputError, match=message) as error:
        find_items(media / "list.jsonl")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["gone.csv", "walk/a.mkv"])
def test_what_is_neither_a_folder_nor_a_list_is_one_line(media: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"not a folder, nor a list; .* a list of them that ends in \.csv or \.jsonl"):
        find_items(media / name)


def test_a_damaged_webp_does_not_keep_the_others_of_its_folder_from_being_found(media: Path) -> None:
    (media / "b.webp").write_bytes(b"RIFF, but no more")
    assert ("b.webp", "image") in [(item.path.name, item.kind) for item in find_items(media)]
