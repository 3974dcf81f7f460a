"""Validation: the same held-out items each time, scores that are what they claim, the best model kept, no chance."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from magvit2.data.batches import BatchSpec
from magvit2.data.frames import read_item
from magvit2.data.items import MediaItem, find_items
from magvit2.errors import InputError
from magvit2.schema import read_json
from magvit2.tokenizer import Tokenizer
from magvit2.training import best as bests
from magvit2.training import record, train_tokenizer, validation
from magvit2.training.best import Best, BestModel, read_best
from magvit2.training.limit import TimeLimit
from magvit2.training.status import read_status
from magvit2.training.validation import read_held_out, validate
from magvit2.video import write_image
from tests.data.making import grey_frames, write_video
from tests.tokenizer.making import OURS
from tests.training.making import TINY, journal, make_pictures, results

VALIDATED = dataclasses.replace(TINY, validate_every=2, checkpoint_every=3)
VIDEO, SMALL, IMAGE = BatchSpec("video", 1, 5, 16), BatchSpec("video", 1, 9, 8), BatchSpec("image", 1, 1, 8)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of one clip and one image to train on, and of one each that are held out."""
    folder = make_pictures(tmp_path_factory.mktemp("source"))
    write_image(folder / "photos" / "1.png", np.full((12, 30, 3), 90, dtype=np.uint8))
    return write_list(folder, train=["clips/0.mkv", "photos/0.png"], val=["clips/1.mkv", "photos/1.png"])


@pytest.fixture(scope="module")
def straight(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with a validation after every second step."""
    folder = tmp_path_factory.mktemp("straight")
    train_tokenizer(VALIDATED, source, folder)
    return folder


def write_list(folder: Path, **splits: list[str]) -> Path:
    rows = [{"path": path, "split": split} for split, paths in splits.items() for path in paths]
    (folder / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "list.jsonl"


def of_batches(folder: Path) -> list[dict[str, object]]:
    return [line for line in journal(folder) if line["kind"] != "validation"]


def of_validations(folder: Path) -> list[dict[str, object]]:
    return [line for line in journal(folder) if line["kind"] == "validation"]


def best_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "best").iterdir()}


def test_training_is_the_same_bit_for_bit_with_and_without_validation(
    source: Path, straight: Path, tmp_path: Path
) -> None:
    train_tokenizer(dataclasses.replace(VALIDATED, validate_every=0), source, tmp_path)
    assert journal(tmp_path) == of_batches(straight) != journal(straight)
    assert results(tmp_path) == results(straight)
    assert not (tmp_path / "best").exists()


def test_a_validation_has_a_line_after_each_interval_and_the_last_step(source: Path, tmp_path: Path) -> None:
    train_tokenizer(dataclasses.replace(VALIDATED, num_steps=5), source, tmp_path)
    lines = of_validations(tmp_path)
    assert [line["step"] for line in lines] == [1, 3, 4]
    for line in lines:
        assert 0 <= line["val_least_entropy"] <= line["val_entropy"] <= 1
        assert 0 < line["val_usage"] <= 1 and 0 < line["val_psnr"] < 100


def test_the_scores_are_those_of_the_average(source: Path, straight: Path) -> None:
    average = Tokenizer.from_pretrained(straight / "model")
    (clip, image) = (read_item(item) for item in find_items(source, "val"))
    shown = [clip[1:6, :, 4:20], image[:, :, 7:23]]  # the middle 5 of 7 frames, the middle 16 of 24 and 30 columns
    errors = []
    for frames in shown:
        x = torch.from_numpy(frames.copy()).permute(3, 0, 1, 2)[None] / 127.5 - 1
        y = average.decode(average.encode(x), frames.shape[:3])[0].permute(1, 2, 3, 0).numpy()
        decoded = np.rint((y + 1) * 127.5)
        per_frame = ((decoded - frames) ** 2).reshape(len(frames), -1).mean(1)
        errors.append((10 * np.log10(255**2 / per_frame)).mean())
    assert of_validations(straight)[-1]["val_psnr"] == pytest.approx(np.mean(errors), abs=1e-6)


def test_the_best_model_is_that_of_the_highest_score(source: Path, straight: Path) -> None:
    lines = of_validations(straight)
    top = max(lines, key=lambda line: line["val_psnr"])
    found = read_json(BestModel, straight / "best" / "best.json")
    assert found == BestModel(top["step"] + 1, "val_psnr", top["val_psnr"])
    held_out = read_held_out(source, [], VALIDATED.batches, 16)
    assert validate(Tokenizer.from_pretrained(straight / "best"), held_out.clips)["val_psnr"] == top["val_psnr"]


@pytest.mark.parametrize("stop", range(1, 6))
def test_a_run_that_resumes_ends_with_the_same_best_model_and_validations(
    stop: int, source: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate_ = record.Record.validate

    def interrupted(self: record.Record, step: int, model: Tokenizer) -> None:
        validate_(self, step, model)
        if step == stop:
            raise KeyboardInterrupt  # after the best model was written, before a checkpoint was

    with monkeypatch.context() as patch:
        patch.setattr(record.Record, "validate", interrupted)
        try:
            train_tokenizer(VALIDATED, source, tmp_path)
        except KeyboardInterrupt:
            assert stop in (1, 3, 5)
    train_tokenizer(VALIDATED, source, tmp_path)
    assert journal(tmp_path) == journal(straight)
    assert best_files(tmp_path) == best_files(straight)


def test_a_run_stopped_by_its_limit_keeps_its_best_model(source: Path, straight: Path, tmp_path: Path) -> None:
    for _ in range(VALIDATED.num_steps):
        train_tokenizer(VALIDATED, source, tmp_path, time_limit=TimeLimit(1, spent_s=2))
    assert read_status(tmp_path).is_finished
    assert journal(tmp_path) == journal(straight) and best_files(tmp_path) == best_files(straight)


def test_a_worse_or_equal_model_does_not_replace_the_best(tmp_path: Path) -> None:
    torch.manual_seed(0)
    models = [Tokenizer(OURS) for _ in range(4)]
    best = Best(tmp_path, "val_psnr")
    offers = [(models[0], 0, 20.0), (models[1], 10, 22.0), (models[2], 20, 22.0), (models[3], 30, 21.0)]
    assert [best.offer(*offer) for offer in offers] == [True, True, False, False]
    assert not Best(tmp_path, "val_psnr").offer(models[2], 50, 21.5)
    assert read_best(tmp_path) == BestModel(10, "val_psnr", 22)
    assert Tokenizer.from_pretrained(tmp_path / "best").fingerprint == models[1].fingerprint
    assert not best.offer(models[2], 60, float("nan"))


@pytest.mark.parametrize("moment", ["model", "label", "swap"])
def test_a_kill_leaves_a_best_model_that_is_what_its_label_says(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    def killed_rename(self: Path, target: Path) -> None:
        if target.name == "best":
            raise KeyboardInterrupt
        self.replace(target)

    torch.manual_seed(0)
    first, second = Tokenizer(OURS), Tokenizer(OURS)
    Best(tmp_path, "val_psnr").offer(first, 10, 20.0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if moment == "swap":
            patch.setattr(Path, "rename", killed_rename)
        elif moment == "label":
            patch.setattr(bests, "write_text", killed)
        else:
            patch.setattr(Tokenizer, "save_pretrained", killed)
        Best(tmp_path, "val_psnr").offer(second, 20, 21.0)
    Best(tmp_path, "val_psnr")
    expected = (
        (second, BestModel(20, "val_psnr", 21.0)) if moment == "swap" else (first, BestModel(10, "val_psnr", 20.0))
    )
    assert (Tokenizer.from_pretrained(tmp_path / "best").fingerprint, read_best(tmp_path)) == (
        expected[0].fingerprint, expected[1],
    )  # fmt: skip


def test_the_status_of_a_run_reads_no_validation_as_a_step(source: Path, straight: Path) -> None:
    status, best = read_status(straight), read_best(straight)
    lines = of_batches(straight)
    assert status.score == pytest.approx(np.mean([line["psnr"] for line in lines]))
    assert best is not None and (status.best_step, status.best_score) == (best.step, best.score)


def test_where_nothing_is_held_out_that_is_said_once(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = write_list(source.parent, train=["clips/0.mkv", "photos/0.png"]).rename(tmp_path / "list.jsonl")
    for name in ("clips", "photos"):
        shutil.copytree(source.parent / name, tmp_path / name)
    train_tokenizer(VALIDATED, everything, tmp_path / "run")
    said = [line for line in capsys.readouterr().err.splitlines() if "validation" in line]
    assert len(said) == 1 and said[0].startswith("step 0: no validation, and no best model: ")
    assert not of_validations(tmp_path / "run") and not (tmp_path / "run" / "best").exists()
    assert read_status(tmp_path / "run").best_step == 0
    write_list(source.parent, train=["clips/0.mkv", "photos/0.png"], val=["clips/1.mkv", "photos/1.png"])


def item(path: Path) -> MediaItem:
    return MediaItem(path, "image" if path.suffix == ".png" else "video", path.parent.name)


@pytest.fixture(scope="module")
def shelves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Groups a (3 clips), b (2 clips) and c (2 images), all held out; each frame's level is its number."""
    folder = tmp_path_factory.mktemp("shelves")
    for name in ("a/0", "a/1", "a/2", "b/0", "b/1"):
        write_video(folder / f"{name}.mkv", grey_frames(12, 0, 24, 20))
    for name in ("c/0", "c/1"):
        write_image(folder / f"{name}.png", np.full((6, 40, 3), 7, dtype=np.uint8))
    paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
    return write_list(folder, val=paths, train=["a/0.mkv"])


def test_clips_are_taken_in_turn_from_each_group(shelves: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    count_frames = validation.count_frames
    monkeypatch.setattr(
        validation, "count_frames", lambda found: seen.append(f"{found.group}/{found.path.stem}") or count_frames(found)
    )
    assert len(read_held_out(shelves, [], (VIDEO, IMAGE), 5).clips) == 5
    assert seen == ["a/0", "b/0", "c/0", "a/1", "b/1"]
    seen.clear()
    read_held_out(shelves, [], (VIDEO, IMAGE), 2)
    assert seen == ["a/0", "b/0"]


def test_an_item_is_cut_as_the_largest_batch_of_its_kind_does(shelves: Path) -> None:
    clips = read_held_out(shelves, [], (SMALL, VIDEO, IMAGE), 3).clips
    assert [clip.shape for clip in clips] == [(5, 16, 16, 3), (5, 16, 16, 3), (1, 6, 8, 3)]
    narrow = dataclasses.replace(VIDEO, groups=("b",))
    clips = read_held_out(shelves, [], (SMALL, narrow, IMAGE), 3).clips
    assert [clip.shape for clip in clips] == [(9, 8, 8, 3), (5, 16, 16, 3), (1, 6, 8, 3)]


def test_the_middle_is_taken_in_time_and_space(shelves: Path) -> None:
    whole = read_item(item(shelves.parent / "a" / "0.mkv"))
    (clip,) = read_held_out(shelves, [], (VIDEO,), 1).clips
    assert np.array_equal(clip, whole[3:8, 4:20, 2:18])


def test_images_under_a_moving_camera_are_validated_as_images(shelves: Path) -> None:
    clips = read_held_out(shelves, [], (BatchSpec("motion", 1, 9, 8),), 16).clips
    assert [clip.shape for clip in clips] == [(1, 6, 8, 3)] * 2


def test_where_there_are_only_clips_a_training_on_images_is_validated_on_their_frames(
    shelves: Path, tmp_path: Path
) -> None:
    clips_alone = tmp_path / "clips.jsonl"
    clips_alone.write_text(json.dumps({"path": str(shelves.parent / "a" / "1.mkv"), "split": "val"}) + "\n")
    assert [clip.shape for clip in read_held_out(clips_alone, [], (IMAGE,), 16).clips] == [(1, 8, 8, 3)]


def test_what_is_trained_on_is_never_validated_on(shelves: Path) -> None:
    trained = find_items(shelves, "train")
    assert trained[0] in find_items(shelves, "val")
    assert len(read_held_out(shelves, trained, (VIDEO, IMAGE), 16).clips) == 6
    with pytest.raises(InputError, match="expected items of split val"):
        read_held_out(shelves, find_items(shelves, "val"), (VIDEO, IMAGE), 16)


def test_a_damaged_held_out_file_is_left_out_and_named(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(source.parent, tmp_path / "s")
    (tmp_path / "s" / "clips" / "1.mkv").write_bytes(b"no video")
    train_tokenizer(VALIDATED, tmp_path / "s" / "list.jsonl", tmp_path / "run")
    (line,) = [json.loads(text) for text in (tmp_path / "run" / "skipped.jsonl").read_text().splitlines()]
    assert line["step"] == 0 and line["path"].endswith("1.mkv") and "1.mkv" not in line["reason"]
    assert "left out" in capsys.readouterr().err
    assert len(of_validations(tmp_path / "run")) == 3  # on the image


def test_validation_takes_time_of_its_own() -> None:
    now = [0.0]
    limit = TimeLimit(100, clock=lambda: now[0])

    def step(step_s: float, validation_s: float = 0.0) -> bool:
        now[0] += step_s
        if validation_s:
            with limit.validating():
                now[0] += validation_s
        return limit.is_reached()

    assert not step(1)
    assert not step(1, validation_s=30)
    taken = 0
    while not step(1):
        taken += 1
    needed_s = 1 + 30 + 2 * 2.5 + 8  # another step, a validation, two saves and the end
    assert taken == 100 - 32 - needed_s - 1
