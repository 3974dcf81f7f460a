"""TensorBoard: what a run writes there is read back by TensorBoard's own reader, resumed runs included."""

import dataclasses
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from magvit2.errors import MissingDependencyError
from magvit2.training import step as steps
from magvit2.training import train_tokenizer
from magvit2.training.board import Board
from magvit2.video.animation import encode_gif
from magvit2.video.images import read_image
from tests.training.making import TINY, journal, make_pictures, results

SHOWN = dataclasses.replace(TINY, tensorboard=True, validate_every=2, sample_every=1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list with a held-out clip."""
    folder = make_pictures(tmp_path_factory.mktemp("source"))
    splits = {"clips/0.mkv": "train", "photos/0.png": "train", "clips/1.mkv": "val"}
    rows = [json.dumps({"path": path, "split": split}) + "\n" for path, split in splits.items()]
    (folder / "list.jsonl").write_text("".join(rows))
    return folder / "list.jsonl"


@pytest.fixture(scope="module")
def straight(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("straight")
    train_tokenizer(SHOWN, source, folder)
    return folder


def events(folder: Path) -> EventAccumulator:
    """All that TensorBoard would show of a run."""
    return EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0}).Reload()


def scalars(folder: Path) -> dict[tuple[str, int], float]:
    """Every scalar by tag and step, but for times; none is there twice."""
    found = events(folder)
    rows = [(tag, event) for tag in found.Tags()["scalars"] for event in found.Scalars(tag) if "step_s" not in tag]
    assert len({(tag, event.step) for tag, event in rows}) == len(rows)
    return {(tag, event.step): event.value for tag, event in rows}


def test_the_board_has_every_number_of_the_journal(straight: Path) -> None:
    expected = {
        (f"{line['kind']}/{name}", line["step"]): value
        for line in journal(straight)
        for name, value in line.items()
        if name not in ("step", "kind")
    }
    assert scalars(straight) == pytest.approx(expected, rel=1e-6)
    assert any(tag.startswith("validation/val_psnr") for tag, _ in expected)


def test_the_board_has_the_pictures_and_moving_clips(straight: Path) -> None:
    found, lines = events(straight), [line for line in journal(straight) if line["kind"] != "validation"]
    assert set(found.Tags()["images"]) == {"video/samples", "video/clips", "image/samples"}
    for kind in ("video", "image"):
        pictures = found.Images(f"{kind}/samples")
        assert [event.step for event in pictures] == [line["step"] for line in lines if line["kind"] == kind]
        for event in pictures:
            shown = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
            assert (shown == read_image(straight / "samples" / f"step-{event.step + 1:08d}.png")).all()
    (clip, *_) = found.Images("video/clips")
    with Image.open(io.BytesIO(clip.encoded_image_string)) as gif:
        assert (gif.format, gif.size, gif.n_frames) == ("GIF", (clip.width, clip.height), 5)
        assert gif.size == (2 * 16, 2 * 16)  # two clips side by side, originals above what was decoded


def test_a_run_is_the_same_with_and_without_a_board(source: Path, straight: Path, tmp_path: Path) -> None:
    train_tokenizer(dataclasses.replace(SHOWN, tensorboard=False), source, tmp_path)
    assert journal(tmp_path) == journal(straight) and results(tmp_path) == results(straight)
    assert not (tmp_path / "tensorboard").exists()


def test_what_an_interrupted_run_wrote_beyond_its_checkpoint_is_not_shown(
    source: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update_ema = steps.update_ema

    def interrupted(*arguments: object) -> None:
        update_ema(*arguments)
        if arguments[-1] == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(steps, "update_ema", interrupted)
        train_tokenizer(SHOWN, source, tmp_path)
    assert max(step for _, step in scalars(tmp_path)) == 4
    train_tokenizer(SHOWN, source, tmp_path)
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2
    assert scalars(tmp_path) == scalars(straight)


def test_steps_that_a_resumed_run_does_not_come_to_again_are_gone(tmp_path: Path) -> None:
    for first_step, last_step, value in ((0, 9, 1.0), (5, 7, 2.0)):
        with Board(tmp_path / "tensorboard", first_step) as board:
            for step in range(first_step, last_step):
                board.scalars(step, "video", {"loss": value})
    shown = {step: value for (_, step), value in scalars(tmp_path).items()}
    assert shown == {0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 2, 6: 2}


def test_a_gif_shows_its_frames_for_their_time_without_end() -> None:
    levels = (0, 80, 160, 240)
    data = encode_gif(np.stack([np.full((4, 6, 3), level, dtype=np.uint8) for level in levels]), fps=8)
    with Image.open(io.BytesIO(data)) as gif:
        assert gif.info["loop"] == 0 and gif.n_frames == 4
        for number, level in enumerate(levels):
            gif.seek(number)
            assert gif.info["duration"] == 120  # of 125 ms, in whole hundredths of a second
            assert (np.asarray(gif.convert("RGB")) == level).all()


def test_a_board_without_its_package_is_one_line_before_anything_is_made(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'magvit2\[tensorboard\]'"):
        train_tokenizer(SHOWN, source, tmp_path / "run")
    assert not (tmp_path / "run").exists()
