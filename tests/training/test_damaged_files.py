"""A damaged file is left out of a training, is named once, and changes nothing about what can be repeated."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from magvit2.data.batches import MAX_UNREADABLE, Batch, BatchSpec, Skipped, TrainingBatches
from magvit2.data.items import MediaItem, find_items
from magvit2.data.pack import PackSettings, pack_items
from magvit2.errors import InputError, MediaError
from magvit2.training import train_tokenizer
from magvit2.training.journal import Journal
from tests.data.making import grey_frames, make_source, write_index, write_strip, write_video
from tests.training.making import TINY, journal, make_pictures, results

VIDEO = BatchSpec("video", batch_size=2, num_frames=5, size=8)
IMAGE = BatchSpec("image", batch_size=2, num_frames=1, size=8)
MOTION = BatchSpec("motion", batch_size=2, num_frames=5, size=8)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def overwrite(path: Path) -> None:
    path.write_bytes(b"\x00" * path.stat().st_size)


def damaged_source(folder: Path) -> Path:
    """Two videos, of which one is cut, and one image beside an empty one."""
    source = make_pictures(folder)
    truncate(source / "clips" / "1.mkv")
    (source / "photos" / "1.png").touch()
    files = ("clips/0.mkv,video", "clips/1.mkv,video", "photos/0.png,image", "photos/1.png,image")
    write_index(source, [f"{file},train" for file in files], "path,kind,split")
    return source


def skipped_lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "skipped.jsonl").read_text().splitlines()]


def all_batches(items: list[MediaItem], specs: tuple[BatchSpec, ...], num_steps: int) -> list[Batch]:
    return list(TrainingBatches(items, specs, num_steps, seed=0))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return damaged_source(tmp_path_factory.mktemp("damaged"))


@pytest.fixture(scope="module")
def straight(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of six steps on the damaged source."""
    folder = tmp_path_factory.mktemp("straight")
    train_tokenizer(TINY, source, folder)
    return folder


@pytest.mark.parametrize("harm", [truncate, empty, overwrite, Path.unlink])
@pytest.mark.parametrize(
    ("kind", "spec"),
    [("video", VIDEO), ("strip", VIDEO), ("frames", VIDEO), ("image", IMAGE), ("member", IMAGE), ("image", MOTION)],
)
def test_every_kind_of_item_that_cannot_be_read_is_left_out(
    harm: Any, kind: str, spec: BatchSpec, tmp_path: Path
) -> None:
    sources = [make_source(tmp_path / name) for name in ("good", "bad")]
    if kind == "frames":
        for source in sources:
            pack_items(find_items(source), tmp_path / f"{source.name}-pack", PackSettings(format="png"))
        sources = [tmp_path / "good-pack", tmp_path / "bad-pack"]
    good, bad = ([item for item in find_items(source) if is_of(item, kind)] for source in sources)
    for path in {item.path for item in bad}:
        harm(path)
    batches = all_batches([*good, *bad], (spec,), 12)
    named = {skipped.path for batch in batches for skipped in batch.skipped}
    assert named and named <= {item.name for item in bad}
    levels = {level for batch in batches for level in batch.clips_u8.flatten().tolist()}
    assert max(levels) < 100  # train's own


def is_of(item: MediaItem, kind: str) -> bool:
    return item.member is not None and item.kind == "image" if kind == "member" else item.kind == kind


def test_a_list_that_promises_more_frames_than_there_are_is_met_as_damage(tmp_path: Path) -> None:
    path = write_strip(tmp_path / "a.png", grey_frames(2, 0, 12, 12))
    (tmp_path / "list.csv").write_text("path,kind,frames\na.png,strip,900\n")
    with pytest.raises(MediaError, match=rf"{path}: has no frame \d+; correct the number of frames in its list"):
        all_batches(find_items(tmp_path / "list.csv"), (VIDEO,), 1)


def test_a_batch_is_a_function_of_seed_and_step_all_the_same(source: Path) -> None:
    items = find_items(source)
    ours = all_batches(items, (VIDEO, IMAGE), 12)
    again = TrainingBatches(items, (VIDEO, IMAGE), 12, seed=0)
    for step in reversed(range(12)):
        assert torch.equal(again[step].clips_u8, ours[step].clips_u8) and again[step].skipped == ours[step].skipped
    assert any(batch.skipped for batch in ours) and not all(batch.skipped for batch in ours)


def test_what_is_not_damaged_is_drawn_as_before(source: Path, tmp_path: Path) -> None:
    """A file that nothing draws at a step changes nothing there: the batch is that of the whole source."""
    whole = make_pictures(tmp_path / "whole")
    write_video(whole / "clips" / "1.mkv", grey_frames(7, 0))
    shutil.copy(whole / "photos" / "0.png", whole / "photos" / "1.png")
    ours, theirs = (all_batches(find_items(s), (VIDEO, IMAGE), 12) for s in (source, whole))
    same = [torch.equal(our.clips_u8, their.clips_u8) for our, their in zip(ours, theirs, strict=True)]
    assert same == [not batch.skipped for batch in ours]


def test_a_run_names_each_damaged_file_once(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run [1]"
    train_tokenizer(dataclasses.replace(TINY, num_steps=12), source, folder)
    lines = skipped_lines(folder)
    assert sorted(line["path"] for line in lines) == [
        str(source / "clips" / "1.mkv"), str(source / "photos" / "1.png"),
    ]  # fmt: skip
    batches = all_batches(find_items(source), TINY.batches, 12)
    for line in lines:
        first = next(step for step, batch in enumerate(batches) if line["path"] in {path for path, _ in batch.skipped})
        assert line["step"] == first and line["path"] not in line["reason"]
    printed = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert printed == [
        f"step {line['step']}: {line['path']}: {line['reason']}; left out (files left out so far: {number})"
        for number, line in enumerate(lines, 1)
    ]


def test_a_run_with_a_worker_leaves_out_what_the_run_without_does(source: Path, straight: Path, tmp_path: Path) -> None:
    train_tokenizer(dataclasses.replace(TINY, num_workers=1), source, tmp_path)
    assert journal(tmp_path) == journal(straight) and results(tmp_path) == results(straight)
    assert skipped_lines(tmp_path) == skipped_lines(straight) != []


def test_a_run_that_was_interrupted_ends_as_if_it_had_not_been(
    source: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = Journal.advance

    def interrupted(self: Journal, step: int) -> None:
        if step == 4:
            raise KeyboardInterrupt
        advance(self, step)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "advance", interrupted)
        train_tokenizer(TINY, source, tmp_path)
    with (tmp_path / "skipped.jsonl").open("a") as file:
        file.write('{"step": 4, "path": "{x}')  # what a power cut leaves
    train_tokenizer(TINY, source, tmp_path)
    assert journal(tmp_path) == journal(straight) and results(tmp_path) == results(straight)
    assert skipped_lines(tmp_path) == skipped_lines(straight)


def test_a_resumed_run_does_not_name_a_file_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Journal(tmp_path, 0, 10).skip(1, [Skipped("a[b].mkv", "cut"), Skipped("a[b].mkv", "cut")])
    again = Journal(tmp_path, 2, 10)
    again.skip(3, [Skipped("a[b].mkv", "cut"), Skipped("c.mkv", "cut")])
    assert [(line["step"], line["path"]) for line in skipped_lines(tmp_path)] == [(1, "a[b].mkv"), (3, "c.mkv")]
    assert capsys.readouterr().err.splitlines() == [
        "step 1: a[b].mkv: cut; left out (files left out so far: 1)",
        "step 3: c.mkv: cut; left out (files left out so far: 2)",
    ]


def test_a_run_on_sound_files_has_no_list_of_damaged_ones(tmp_path: Path) -> None:
    train_tokenizer(dataclasses.replace(TINY, num_steps=1), make_pictures(tmp_path / "s"), tmp_path / "run")
    assert not (tmp_path / "run" / "skipped.jsonl").exists()


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_source_of_damaged_files_alone_ends_in_one_line(num_workers: int, source: Path, tmp_path: Path) -> None:
    for number in range(4):  # of which one is held out
        path = tmp_path / "data" / f"{number}.mkv"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((source / "clips" / "0.mkv").read_bytes()[:200])
    config = dataclasses.replace(TINY, batches=TINY.batches[:1], num_workers=num_workers)
    expected = rf"^{MAX_UNREADABLE} files drawn in a row could not be read \(3 different\), the last: .*/data/\d\.mkv: "
    with pytest.raises(MediaError, match=expected) as error:
        train_tokenizer(config, tmp_path / "data", tmp_path / "run")
    assert "\n" not in str(error.value)


def test_a_failure_that_is_no_file_s_ends_a_draw(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr("magvit2.data.batches.random_clip", broken)
    with pytest.raises(RuntimeError, match="out of order"):
        all_batches(find_items(source), (VIDEO,), 1)


def test_a_training_takes_a_list(tmp_path: Path) -> None:
    source = make_pictures(tmp_path / "s")
    (source / "list.jsonl").write_text(
        '{"path": "clips/0.mkv", "split": "train"}\n{"path": "clips/1.mkv", "split": "val"}\n'
        '{"path": "photos/0.png", "split": "train"}\n'
    )
    train_tokenizer(TINY, source / "list.jsonl", tmp_path / "listed")
    (source / "clips" / "1.mkv").unlink()
    train_tokenizer(TINY, source, tmp_path / "bare")
    assert journal(tmp_path / "listed") == journal(tmp_path / "bare")
    with pytest.raises(InputError, match=r"list\.jsonl, line 2: .*1\.mkv is missing \(1 of 1 files are\)"):
        find_items(source / "list.jsonl", "val")
