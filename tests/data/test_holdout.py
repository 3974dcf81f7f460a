"""A twentieth of a source that nothing splits is held out by a hash of names: stable, apart, films undivided."""

import hashlib
from pathlib import Path

import pytest

from magvit2.data.holdout import Named, origin_of, place_of, sides_of
from magvit2.data.items import MediaItem, find, find_items
from magvit2.video import write_image
from tests.data.making import grey_frames, make_source, png, write_members, write_video


def clips(names: list[str]) -> list[Named]:
    return [Named(name, is_clip=True) for name in names]


def held_out(names: list[str]) -> set[str]:
    return {name for name, is_val in zip(names, sides_of(clips(names)).is_val, strict=True) if is_val}


def is_below_a_twentieth(text: str) -> bool:
    """By the first eight digits of what `sha256sum` prints."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) < 0x100000000 / 20


FILMS = [f"walks/town {letter}{number}" for letter in "abcdefgh" for number in range(40)]


def test_a_twentieth_is_held_out_by_its_hash() -> None:
    sides = sides_of(clips(FILMS))
    assert [not trained for trained in sides.is_train] == sides.is_val
    assert held_out(FILMS) == {name for name in FILMS if is_below_a_twentieth(name)}
    assert 8 <= len(held_out(FILMS)) <= 24


def test_what_is_added_changes_no_side() -> None:
    for count in (100, 200):
        assert held_out(FILMS[:count]) == held_out(FILMS) & set(FILMS[:count])


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("a/film_0001", "a/film"),
        ("film-c03", "film"),
        ("film_c3", "film"),
        ("film-Scene-007", "film"),
        ("film__part_2", "film"),
        ("abseiling/dQw4w9WgXcQ_000123_000133", "abseiling/dQw4w9WgXcQ"),
        ("-4wsuPCjDBc_5_15", "-4wsuPCjDBc"),
        ("-_2jRnTc1TI_0_82to193", "-_2jRnTc1TI"),
        ("ID_12.5_22.5", "ID"),
        ("Archery/v_Archery_g08_c02", "Archery/v_Archery_g08"),
        ("goal_u_nm_np1_ba_goo_0", "goal_u_nm_np1_ba_goo"),
        ("000000012_00003", "000000012"),
        ("VID_20230405_123301", "VID_20230405"),
        ("2023-04-05_12-33-01", "2023-04-05"),
        # Nothing would be left that says what it is.
        ("IMG_0001", "IMG_0001"),
        ("a/video-12", "a/video-12"),
        ("00012_00003", "00012_00003"),
        ("000123", "000123"),
        ("_0001", "_0001"),
        # Nothing is counted.
        ("film0001", "film0001"),
        ("film 0001", "film 0001"),
        ("film_1/b", "film_1/b"),
        ("film_v2x", "film_v2x"),
    ],
)
def test_counters_of_clips_are_taken_off_a_name(name: str, origin: str) -> None:
    assert origin_of(name) == origin


def test_clips_of_one_film_are_on_one_side_and_the_film_decides() -> None:
    names = [f"{film}_{start:06d}_{start + 10:06d}" for film in FILMS for start in (0, 10, 250)]
    assert held_out(names) == {name for name in names if is_below_a_twentieth(name[: -len("_000000_000010")])}
    ucf = [f"Run/v_Run_g{group:02d}_c{clip:02d}" for group in range(1, 26) for clip in range(1, 8)]
    groups = [{name[: -len("_c00")] for name in side} for side in (held_out(ucf), set(ucf) - held_out(ucf))]
    assert groups[0] and groups[1] and not groups[0] & groups[1]


def test_of_a_few_origins_the_lowest_is_held_out() -> None:
    for count in range(2, 20):
        names = [f"clip of a {number}" for number in range(count)]
        lowest = min(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        expected = {name for name in names if is_below_a_twentieth(name)} | {lowest}
        assert held_out(names) == expected


def test_clips_of_one_film_alone_count_by_themselves() -> None:
    names = [f"film_{number:04d}" for number in range(200)]
    assert held_out(names) == {name for name in names if is_below_a_twentieth(name)} != set()


def test_of_clips_and_of_images_some_are_always_trained_on() -> None:
    for number in range(40):
        items = [Named(f"a {number}", True), Named(f"b {number}", False), Named(f"c {number}", False)]
        sides = sides_of(items)
        assert sides.is_train[0] and sides.is_train[1] != sides.is_train[2]
        assert [not trained for trained in sides.is_train] == sides.is_val


@pytest.mark.parametrize("items", [[Named("a", True)], [Named("a", True), Named("b", False)]])
def test_where_none_can_be_spared_all_serve_both(items: list[Named]) -> None:
    sides = sides_of(items)
    assert all(sides.is_train) and all(sides.is_val)


def test_two_spellings_of_an_accent_have_one_hash() -> None:
    assert place_of("caf\u00e9") == place_of("cafe\u0301") != place_of("cafe")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sixty images of twenty films, in a folder of a folder."""
    for film in range(20):
        for clip in range(3):
            path = tmp_path / "media" / "stills" / f"town{film}_{clip:04d}.png"
            write_image(path, grey_frames(1, film, 4, 4)[0])
    return tmp_path / "media"


def names(items: list[MediaItem]) -> set[str]:
    return {item.entry.rpartition("/")[2] or item.path.name for item in items}


def test_a_folder_is_split_when_asked_and_else_used_whole(folder: Path) -> None:
    train, val, test = (find(folder, split, hold_out=True) for split in ("train", "val", "test"))
    assert names(train.items) | names(val.items) == names(find_items(folder))
    assert not names(train.items) & names(val.items) and val.items == test.items
    films = {item.path.stem[:-5] for item in val.items}
    assert len(val.items) == train.num_held_out == 3 * len(films) and val.num_held_out == 0
    expected = {f"town{film}" for film in range(20) if is_below_a_twentieth(f"stills/town{film}")}
    assert films == expected or (not expected and len(films) == 1)
    assert train.scope == "no index, split train by a hash of names"
    assert val.scope == "no index, split val by a hash of names"
    whole = find(folder, "val")
    assert len(whole.items) == 60 and (whole.scope, whole.num_held_out) == ("no index, all items", 0)


def test_a_list_and_a_shard_of_the_same_names_are_split_as_the_folder(folder: Path) -> None:
    paths = sorted((folder / "stills").iterdir())
    rows = [f"stills/{path.name}" for path in paths]
    (folder / "list.csv").write_text("\n".join(["path", *rows]) + "\n")
    write_members(folder.parent / "s.tar", {row: png(1) for row in rows})
    for source in (folder / "list.csv", folder.parent / "s.tar"):
        for split in ("train", "val"):
            expected = find_items(folder, split, hold_out=True)
            assert names(find_items(source, split, hold_out=True)) == names(expected)
    assert find(folder / "list.csv", "val", hold_out=True).scope.startswith("list.csv, split val by a hash")


def test_a_source_that_has_splits_keeps_them(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source")
    for split in ("train", "val", "test"):
        assert find(source, split, hold_out=True) == find(source, split)


def test_a_single_file_serves_both_and_it_is_said(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mkv", grey_frames(2, 1))
    for split in ("train", "val"):
        found = find(tmp_path, split, hold_out=True)
        assert len(found.items) == 1 and found.scope == "no index, all items (too few to hold any out)"
