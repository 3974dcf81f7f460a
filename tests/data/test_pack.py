"""A pack is its source again, without a video decoder: the same items and frames, cut fairly, whole or absent."""

import dataclasses
import io
import json
import tarfile
from collections import Counter
from hashlib import sha256
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from magvit2.data.batches import BatchSpec, TrainingBatches
from magvit2.data.frames import count_frames, read_item
from magvit2.data.items import MediaItem, find_items
from magvit2.data.pack import PackSettings, pack_items
from magvit2.data.pack_shards import Entry, ShardWriter, read_shard
from magvit2.errors import ConfigError, InputError, MediaError
from magvit2.evaluation.reconstruction import evaluate_reconstruction
from magvit2.video import write_image
from tests.data.making import grey_frames, make_source, write_strip
from tests.tiny import tiny_tokenizer

PNG = PackSettings(format="png")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source with an index and every kind of item."""
    return make_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def lossless(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its train split as PNG."""
    folder = tmp_path_factory.mktemp("packs") / "lossless"
    pack_items(find_items(source), folder, PNG)
    return folder


def contents(items: list[MediaItem]) -> list[tuple[str, str, bool, bytes]]:
    """What items are and hold, in an order of its own."""
    return sorted((i.group, i.label, i.is_clip, read_item(i).tobytes()) for i in items)


def noise(seed: int, *shape: int) -> np.ndarray:
    """Pixels that no format makes smaller."""
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def noisy_items(folder: Path, **sizes: int) -> list[MediaItem]:
    """Four pictures of noise in each group, of so many pixels a side."""
    items = []
    for group, side in sizes.items():
        for number in range(4):
            path = folder / group / f"{number}.png"
            write_image(path, noise(number, side, side))
            items.append(MediaItem(path, "image", group))
    return items


def test_a_lossless_pack_has_the_items_and_the_pixels_of_its_source(source: Path, lossless: Path) -> None:
    packed = find_items(lossless)
    assert contents(packed) == contents(find_items(source))
    assert {item.kind for item in packed} == {"image", "frames"}
    assert sorted(map(count_frames, packed)) == sorted(map(count_frames, find_items(source)))


def test_a_pack_of_jpeg_is_close_to_its_source(source: Path, tmp_path: Path) -> None:
    pack_items(find_items(source), tmp_path / "pack")
    for ours, theirs in zip(contents(find_items(tmp_path / "pack")), contents(find_items(source)), strict=True):
        assert ours[:3] == theirs[:3]
        levels, expected = (np.frombuffer(item[3], np.uint8).astype(int) for item in (ours, theirs))
        assert abs(levels - expected).max() <= 2


def test_only_the_frames_that_are_asked_for_are_read_and_decoded(
    lossless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clip,) = [item for item in find_items(lossless) if item.group == "clips"]
    decoded: list[int] = []
    from magvit2.data import frames

    decode = frames.decode_image
    monkeypatch.setattr(frames, "decode_image", lambda data, name: decoded.append(len(data)) or decode(data, name))
    assert read_item(clip, 2, 3)[:, 0, 0, 0].tolist() == [12, 13, 14]
    assert decoded == list(clip.frame_bytes[2:5])
    assert read_item(clip, 4, 9)[:, 0, 0, 0].tolist() == [14, 15]
    with pytest.raises(MediaError, match="frame 6 was asked for; the last one is frame 5"):
        read_item(clip, 6, 1)


def test_training_reads_a_pack_like_its_source(source: Path, lossless: Path) -> None:
    specs = (BatchSpec("video", 2, 5, 8), BatchSpec("image", 3, 1, 8), BatchSpec("motion", 1, 5, 8, groups=("photos",)))
    seen: Counter[str] = Counter()
    for batch in TrainingBatches(find_items(lossless), specs, 30, seed=0):
        seen[batch.kind] += 1
        assert batch.clips_u8.max() < 100  # levels from 100 are val and test
    assert set(seen) == {"video", "image", "motion"}


def test_evaluation_of_a_lossless_pack_is_that_of_its_source(source: Path, lossless: Path) -> None:
    tokenizer = tiny_tokenizer()
    ours, theirs = (dict(evaluate_reconstruction(tokenizer, find_items(s))) for s in (lossless, source))
    assert ours.keys() == theirs.keys()
    assert all(ours[name] == pytest.approx(theirs[name], nan_ok=True) for name in ours)


def test_splits_never_mix(source: Path, tmp_path: Path) -> None:
    pack_items(find_items(source, "val"), tmp_path / "val", PNG, "val")
    assert contents(find_items(tmp_path / "val", "val")) == contents(find_items(source, "val"))
    with pytest.raises(InputError, match="expected rows of split 'train'"):
        find_items(tmp_path / "val")


def test_the_same_items_give_the_same_bytes(source: Path, lossless: Path, tmp_path: Path) -> None:
    pack_items(find_items(source), tmp_path / "again", PNG)
    files = sorted(path.name for path in lossless.iterdir())
    assert files == ["index.csv", "pack.json", "shard-0000.tar"]
    assert all((tmp_path / "again" / name).read_bytes() == (lossless / name).read_bytes() for name in files)


def test_pack_json_says_what_was_taken_and_how(source: Path, lossless: Path) -> None:
    told = json.loads((lossless / "pack.json").read_text())
    assert (told["version"], told["split"]) == (1, "train")
    assert (told["settings"]["format"], told["settings"]["quality"], told["settings"]["subsampling"]) == (
        "png",
        90,
        "4:4:4",
    )
    counts = {
        n: (g["num_items"], g["num_clips"], g["num_frames"], g["num_left_out"]) for n, g in told["groups"].items()
    }
    assert counts == {"clips": (1, 1, 6, 0), "photos": (1, 0, 1, 0), "strips": (1, 1, 5, 0), "tars": (2, 0, 2, 0)}
    (shard,) = told["shards"]
    data = (lossless / shard["name"]).read_bytes()
    assert (shard["num_bytes"], shard["sha256"]) == (len(data), sha256(data).hexdigest())
    assert sum(group["num_bytes"] for group in told["groups"].values()) <= len(data)


def test_a_jpeg_that_is_small_enough_keeps_its_own_bytes(tmp_path: Path) -> None:
    for name in ("small", "large"):
        write_image(tmp_path / f"{name}.jpg", noise(0, 24, 32 if name == "small" else 64))
    items = [MediaItem(tmp_path / f"{name}.jpg", "image", name) for name in ("small", "large")]
    large = dataclasses.replace(PNG, short_side=16)
    for number, (settings, kept) in enumerate([(PackSettings(), True), (PNG, True), (large, False)]):
        pack_items(items, tmp_path / str(number), settings)
        for item in find_items(tmp_path / str(number)):
            offset, length = item.member or (0, 0)
            data = item.path.read_bytes()[offset : offset + length]
            assert (data == (tmp_path / f"{item.group}.jpg").read_bytes()) is kept


def test_larger_pictures_are_scaled_down_and_long_clips_cut(source: Path, tmp_path: Path) -> None:
    settings = PackSettings("png", short_side=8, max_frames=3)
    pack_items(find_items(source), tmp_path / "pack", settings)
    shapes = {item.group: read_item(item).shape for item in find_items(tmp_path / "pack")}
    assert shapes == {
        "clips": (3, 8, 12, 3),
        "photos": (1, 8, 12, 3),
        "strips": (3, 8, 8, 3),
        "tars": (1, 8, 12, 3),
    }


def test_a_stored_clip_plays_as_motion_jpeg(source: Path, tmp_path: Path) -> None:
    pack_items(find_items(source), tmp_path / "pack", PackSettings(subsampling="4:2:0"))
    with tarfile.open(tmp_path / "pack" / "shard-0000.tar") as archive:
        (member,) = [m for m in archive if m.name.startswith("clips/walk/")]
        assert member.name.endswith(".mjpg")
        data = archive.extractfile(member).read()  # type: ignore[union-attr]
    with av.open(io.BytesIO(data), format="mjpeg") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [round(float(frame.mean())) for frame in frames] == [10, 11, 12, 13, 14, 15]
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG" and "progressive" not in image.info


def test_shards_keep_to_their_size_and_lose_nothing(tmp_path: Path) -> None:
    items = noisy_items(tmp_path / "source", a=300, b=200)
    pack = pack_items(items, tmp_path / "pack", dataclasses.replace(PNG, max_shard_mib=1))
    sizes = [(tmp_path / "pack" / shard.name).stat().st_size for shard in pack.shards]
    assert len(sizes) == 2 and max(sizes) <= 2**20
    assert contents(find_items(tmp_path / "pack")) == contents(items)


def test_a_budget_is_shared_by_bytes_and_what_was_left_out_is_said(tmp_path: Path) -> None:
    items = noisy_items(tmp_path / "source", large=256, medium=200, small=40)
    pack = pack_items(items, tmp_path / "pack", dataclasses.replace(PNG, max_total_mib=1))
    assert sum(shard.num_bytes for shard in pack.shards) <= 2**20
    taken = {name: (group.num_items, group.num_left_out) for name, group in pack.groups.items()}
    assert taken == {"large": (2, 2), "medium": (4, 0), "small": (4, 0)}
    assert Counter(item.group for item in find_items(tmp_path / "pack")) == {"large": 2, "medium": 4, "small": 4}


def test_which_items_are_taken_is_random_but_always_the_same(tmp_path: Path) -> None:
    items = [MediaItem(write_strip(tmp_path / "s" / f"{n}.png", noise(n, 1, 90, 90)), "image", "") for n in range(60)]
    settings = dataclasses.replace(PNG, max_total_mib=1)
    first, again = (contents(_packed(items, tmp_path / name, settings)) for name in ("first", "again"))
    assert first == again
    assert first != contents(items[: len(first)])


def _packed(items: list[MediaItem], folder: Path, settings: PackSettings) -> list[MediaItem]:
    pack_items(items, folder, settings)
    return find_items(folder)


def test_progress_is_told_item_by_item(source: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    pack_items(find_items(source), tmp_path / "pack", progress=seen.append)
    assert seen == [1, 2, 3, 4, 5]


def test_a_bad_item_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    items = find_items(source)
    cut = tmp_path / "cut.jpg"
    write_image(cut, noise(0, 40, 40))
    cut.write_bytes(cut.read_bytes()[:600])
    before = sorted(tmp_path.iterdir())
    for bad in (cut, tmp_path / "missing.jpg"):
        with pytest.raises(MediaError, match=str(bad)) as error:
            pack_items([*items, MediaItem(bad, "image", "zoo")], tmp_path / "pack")
        assert "\n" not in str(error.value)
        assert sorted(tmp_path.iterdir()) == before


def test_an_interrupt_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    def interrupted(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_items(find_items(source), tmp_path / "pack", progress=interrupted)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_left_alone(source: Path, lossless: Path) -> None:
    before = {path.name: path.read_bytes() for path in lossless.iterdir()}
    with pytest.raises(InputError, match="exists already"):
        pack_items(find_items(source), lossless)
    assert {path.name: path.read_bytes() for path in lossless.iterdir()} == before


def test_what_cannot_fit_is_one_line(tmp_path: Path) -> None:
    items = noisy_items(tmp_path / "source", a=600)
    with pytest.raises(InputError, match=r"a/_/\d{6}\.png takes .* more than a shard of 1,048,576"):
        pack_items(items, tmp_path / "pack", dataclasses.replace(PNG, max_shard_mib=1))
    with pytest.raises(InputError, match="not one item fits into 1 MiB"):
        pack_items(items, tmp_path / "pack", dataclasses.replace(PNG, max_total_mib=1))
    assert not (tmp_path / "pack").exists()


@pytest.mark.parametrize(
    "changes", [{"quality": 0}, {"quality": 101}, {"short_side": 0}, {"max_frames": 0}, {"max_shard_mib": 0}]
)
def test_impossible_settings_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(changes))} = "):
        PackSettings(**changes)


@pytest.mark.parametrize("word", ["", "_", "cat", "tench, Tinca", "a/b", "..", ".", "naïve", "100%", "x\ny", "n" * 120])
def test_any_group_and_label_survives(word: str, tmp_path: Path) -> None:
    with ShardWriter(tmp_path, 2**20) as writer:
        writer.add(Entry(word, word, "0.png", b"pixels"))
    (member,) = read_shard(tmp_path / "shard-0000.tar")
    assert (member.group, member.label, member.length) == (word, word, 6)
    with tarfile.open(tmp_path / "shard-0000.tar") as archive:
        (name,) = archive.getnames()
    assert name.count("/") == 2 and ".." not in name.split("/")


@pytest.mark.parametrize("num_bytes", [1, 511, 512, 513, 9000])
def test_the_size_with_one_more_entry_is_known_before(num_bytes: int, tmp_path: Path) -> None:
    with ShardWriter(tmp_path, 30 * 1024) as writer:
        for number in range(9):
            entry = Entry("g", "", f"{number}.mjpg", b"x" * num_bytes, (num_bytes,))
            expected = writer.num_bytes_with(entry)
            writer.add(entry)
    assert sum(path.stat().st_size for path in writer.paths) == expected
    assert max(path.stat().st_size for path in writer.paths) <= 30 * 1024


def bad_shard(path: Path, name: str, frames: str | None = None) -> Path:
    """A source whose only shard has one member of 10 bytes."""
    path.mkdir()
    (path / "index.csv").write_text("path,kind,split\nshard-0000.tar,shard,train\n")
    with tarfile.open(path / "shard-0000.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.size = 10
        info.pax_headers = {} if frames is None else {"MAGVIT2.frame_bytes": frames}
        archive.addfile(info, io.BytesIO(b"0123456789"))
    return path


@pytest.mark.parametrize("frames", [None, "", "4 5", "4 6 1", "4 six", "-4 14"])
def test_a_clip_whose_frames_do_not_add_up_is_one_line(frames: str | None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"shard-0000\.tar: the frames of g/l/0\.mjpg do not add up to its 10 bytes"):
        find_items(bad_shard(tmp_path / "pack", "g/l/0.mjpg", frames))


def test_a_shard_that_is_none_is_one_line(source: Path, lossless: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"member 'cat/0\.png'; expected GROUP/LABEL/NAME"):
        find_items(bad_shard(tmp_path / "flat", "cat/0.png"))
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "index.csv").write_text((lossless / "index.csv").read_text())
    with pytest.raises(InputError, match=r"cut/shard-0000\.tar: cannot be read as a shard"):
        find_items(cut)
    (cut / "shard-0000.tar").write_bytes((lossless / "shard-0000.tar").read_bytes()[:2000])
    with pytest.raises(InputError, match=r"cut/shard-0000\.tar: cannot be read as a shard"):
        find_items(cut)


@pytest.mark.data
def test_real_items_of_every_group_are_packed_and_read(data_dir: Path, tmp_path: Path) -> None:
    settings = PackSettings(max_total_mib=1, max_frames=5, short_side=96)
    pack_items(find_items(data_dir), tmp_path / "pack", settings)
    items = find_items(tmp_path / "pack")
    assert {item.group for item in items} >= {"arid6_160", "cctv_144", "imagenet_sample256", "weizmann4_64"}
    assert all(min(read_item(item, 0, 1).shape[1:3]) <= 96 for item in items)
    assert grey_frames(1, 0).dtype == read_item(items[0]).dtype
