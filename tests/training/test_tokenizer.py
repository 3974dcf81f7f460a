"""Training a tokenizer: it learns, it leaves what it promises, and it stops with a reason."""

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from magvit2.data.batches import BatchSpec, TrainingBatches
from magvit2.data.frames import read_item, to_frames
from magvit2.data.items import MediaItem, find_items
from magvit2.errors import ConfigError, MediaError, TrainingError
from magvit2.losses import LossTerms
from magvit2.schema import from_dict, to_dict
from magvit2.store import read_tensors
from magvit2.tokenizer import Tokenizer
from magvit2.training import TokenizerTraining, objective, train_tokenizer
from magvit2.training.journal import Journal
from magvit2.video import read_image
from tests.data.making import write_video
from tests.training.making import TINY, journal, make_pictures


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training data."""
    return make_pictures(tmp_path_factory.mktemp("source"))


def test_training_on_one_clip_learns_it(tmp_path: Path) -> None:
    frames = read_item(MediaItem(make_pictures(tmp_path / "s") / "clips" / "0.mkv", "video", ""))[:5, :, :16]
    write_video(tmp_path / "one" / "clip.mkv", frames)
    config = dataclasses.replace(
        TINY, batches=(BatchSpec("video", 2, 5, 16),), num_steps=40, checkpoint_every=40, sample_every=40
    )
    folder = train_tokenizer(config, tmp_path / "one", tmp_path / "run")
    lines = journal(tmp_path / "run")
    assert [line["step"] for line in lines] == list(range(40))
    psnr = [line["psnr"] for line in lines]
    assert np.mean(psnr[-5:]) > np.mean(psnr[:5]) + 3
    ids = Tokenizer.from_pretrained(folder).encode(torch.zeros(1, 3, 5, 16, 16))
    assert ids.shape == (1, 2, 2, 2)


def test_a_run_leaves_its_settings_journal_pictures_checkpoints_and_model(source: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, num_steps=5, checkpoint_every=1, keep_checkpoints=2, log_every=2, sample_every=2)
    folder = train_tokenizer(config, source, tmp_path)
    assert folder == tmp_path / "model"
    assert json.loads((tmp_path / "training.json").read_text()) == to_dict(config)
    assert [line["step"] for line in journal(tmp_path)] == [0, 2, 4]
    kinds = [batch.kind for batch in TrainingBatches(find_items(source), config.batches, 5, config.seed)]
    assert sorted(p.name for p in (tmp_path / "samples").iterdir()) == [
            f"step-0000000{step}{suffix}" for step in (1, 2, 4, 5) for suffix in (".mp4", ".png")
            if suffix == ".png" or kinds[step - 1] == "video"
        ]  # fmt: skip
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step-00000004", "step-00000005"]
    tensors = read_tensors(tmp_path / "checkpoints" / "step-00000005" / "state.safetensors")
    loaded = Tokenizer.from_pretrained(folder).state_dict()
    assert all(torch.equal(value, tensors[f"average.{key}"]) for key, value in loaded.items())
    assert not torch.equal(tensors["model.encoder.stem.weight"], tensors["average.encoder.stem.weight"])


def test_a_journal_line_says_what_was_measured(source: Path, tmp_path: Path) -> None:
    train_tokenizer(dataclasses.replace(TINY, num_steps=1), source, tmp_path)
    (line,) = journal(tmp_path)
    assert line["kind"] in ("video", "image")
    assert line["lr"] == pytest.approx(TINY.optimizer.lr / 2)
    assert 0 <= line["least_digit_entropy"] <= 1 and 0 < line["distinct_ids"] <= 1
    numbers = {"step", "loss", "psnr", "commitment", "sample_entropy", "batch_entropy", "grad_norm"}
    assert numbers < line.keys() and all(np.isfinite(line[name]) for name in numbers)


def test_pictures_show_first_middle_and_last_frames_above_their_reconstructions(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    originals, decoded = torch.rand(2, 2, 3, 9, 4, 6, generator=generator) * 2 - 1
    Journal(tmp_path, 0, 10).samples(2, "video", originals, decoded * 3)
    picture = read_image(tmp_path / "samples" / "step-00000003.png")
    assert picture.shape == (8, 2 * 3 * 6, 3)
    for clip in range(2):
        for column, frame in enumerate((0, 4, 8)):
            left = (3 * clip + column) * 6
            assert (picture[:4, left : left + 6] == to_frames(originals[clip])[frame]).all()
            assert (picture[4:, left : left + 6] == to_frames((3 * decoded[clip]).clamp(-1, 1))[frame]).all()


def test_bfloat16_arithmetic_keeps_float32_weights_and_losses(source: Path, tmp_path: Path) -> None:
    seen: list[LossTerms] = []
    config = dataclasses.replace(TINY, num_steps=2, precision="bf16")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objective, "tokenizer_loss", _recorded(seen))
        train_tokenizer(config, source, tmp_path)
    assert all(term.dtype == torch.float32 for terms in seen for term in terms)
    first = journal(tmp_path)[0]["loss"]
    assert first != _first_loss(source, tmp_path / "fp32")  # it did compute in another type
    assert all(v.dtype == torch.float32 for v in Tokenizer.from_pretrained(tmp_path / "model").state_dict().values())


def _first_loss(source: Path, folder: Path) -> float:
    train_tokenizer(dataclasses.replace(TINY, num_steps=1), source, folder)
    return journal(folder)[0]["loss"]


def _recorded(seen: list[LossTerms]) -> object:
    tokenizer_loss = objective.tokenizer_loss

    def loss(*arguments: object, **options: object) -> LossTerms:
        seen.append(tokenizer_loss(*arguments, **options))
        return seen[-1]

    return loss


def broken(name: str, steps: set[int]) -> object:
    """A loss of which one term is not a number at some steps."""
    tokenizer_loss = objective.tokenizer_loss
    calls = itertools.count()

    def loss(*arguments: Tensor, **options: object) -> LossTerms:
        terms = tokenizer_loss(*arguments, **options)
        bad = float("nan") if next(calls) in steps else 0.0
        return terms._replace(**{name: getattr(terms, name) + bad})

    return loss


TERMS = ["reconstruction", "commitment", "sample_entropy", "batch_entropy"]


@pytest.mark.parametrize("name", TERMS)
def test_a_loss_that_stays_no_number_stops_the_run_and_is_named(
    name: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objective, "tokenizer_loss", broken(name, {2, 3, 4, 5}))
    config = dataclasses.replace(TINY, checkpoint_every=2, max_bad_steps=2)
    named = f"step 3: {name.replace('_', ' ')} is nan, for 2 steps in a row; the last good state is .*step-00000002; "
    with pytest.raises(TrainingError, match=named) as error:
        train_tokenizer(config, source, tmp_path)
    assert "\n" not in str(error.value)
    assert [line["step"] for line in journal(tmp_path)] == [0, 1]
    tensors = read_tensors(tmp_path / "checkpoints" / "step-00000002" / "state.safetensors")
    assert all(torch.isfinite(value).all() for value in tensors.values() if value.is_floating_point())


def test_a_step_that_is_no_number_moves_nothing_and_the_run_goes_on(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train_tokenizer(dataclasses.replace(TINY, num_steps=2, checkpoint_every=2), source, tmp_path / "two")
    monkeypatch.setattr(objective, "tokenizer_loss", broken("commitment", {2}))
    config = dataclasses.replace(TINY, checkpoint_every=1, keep_checkpoints=9)
    train_tokenizer(config, source, tmp_path / "all")
    assert "step 2: commitment is nan: the step is left out" in capsys.readouterr().err
    assert [line["step"] for line in journal(tmp_path / "all")] == [0, 1, 3, 4, 5]
    saved = sorted(path.name for path in (tmp_path / "all" / "checkpoints").iterdir())
    assert saved == [f"step-{step:08d}" for step in (1, 2, 4, 5, 6)]  # what may be broken is not saved


def test_a_run_that_ends_in_bad_steps_has_failed(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objective, "tokenizer_loss", broken("commitment", {5}))
    with pytest.raises(TrainingError, match="step 5: commitment is nan, for 1 steps in a row"):
        train_tokenizer(TINY, source, tmp_path)


def test_a_rate_that_is_far_too_high_stops_the_run(source: Path, tmp_path: Path) -> None:
    optimizer = dataclasses.replace(TINY.optimizer, lr=1e30, warmup_steps=0)
    with pytest.raises(TrainingError, match=r"step 4: .* is (nan|inf), .*nothing was saved yet; .*lower optimizer\.lr"):
        train_tokenizer(
            dataclasses.replace(TINY, optimizer=optimizer, max_bad_steps=4, checkpoint_every=5), source, tmp_path
        )


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_damaged_video_is_one_line_with_and_without_workers(num_workers: int, source: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "cut.mkv"
    path.write_bytes((source / "clips" / "0.mkv").read_bytes()[:200])
    config = dataclasses.replace(TINY, batches=TINY.batches[:1], num_workers=num_workers)
    with pytest.raises(MediaError) as error:
        train_tokenizer(config, tmp_path / "data", tmp_path / "run")
    assert f"could not be read (1 different), the last: {path}: " in str(error.value)
    assert "\n" not in str(error.value)


def test_gradients_are_clipped_only_where_it_is_asked(source: Path, tmp_path: Path) -> None:
    norms = []
    for limit in (0.0, 1e-3):
        config = dataclasses.replace(
            TINY, num_steps=2, optimizer=dataclasses.replace(TINY.optimizer, max_grad_norm=limit)
        )
        folder = tmp_path / str(limit)
        train_tokenizer(config, source, folder)
        moments = read_tensors(folder / "checkpoints" / "step-00000002" / "state.safetensors")
        norms.append(sum(v.square().sum() for k, v in moments.items() if k.endswith("exp_avg")).sqrt().item())
    assert norms[1] <= 1e-3 < norms[0]


def test_settings_survive_their_file() -> None:
    assert from_dict(TokenizerTraining, to_dict(TINY)) == TINY


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batches": ()}, "at least one kind of batch"),
        ({"num_steps": 0}, "one step"),
        ({"log_every": 0}, "1 or more"),
        ({"keep_checkpoints": 0}, "1 or more"),
        ({"batches": (BatchSpec("video", 1, 4, 16),)}, r"\(4, 16, 16\) do not fill .*; \(5, 16, 16\) would"),
        ({"batches": (BatchSpec("image", 1, 1, 20),)}, r"\(1, 20, 20\) do not fill .*; \(1, 24, 24\) would"),
    ],
)
def test_a_training_that_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(TINY, **changes)


def test_a_training_starts_from_the_model_that_it_names(source: Path, tmp_path: Path) -> None:
    first = train_tokenizer(dataclasses.replace(TINY, num_steps=3), source, tmp_path / "first")
    resting = dataclasses.replace(TINY.optimizer, lr=0.0)
    config = dataclasses.replace(TINY, num_steps=1, initial=str(first), optimizer=resting)
    second = train_tokenizer(config, source, tmp_path / "second")
    assert Tokenizer.from_pretrained(second).fingerprint == Tokenizer.from_pretrained(first).fingerprint
    wider = dataclasses.replace(config, model=dataclasses.replace(TINY.model, num_bits=7))
    with pytest.raises(TrainingError, match="another shape"):
        train_tokenizer(wider, source, tmp_path / "third")
