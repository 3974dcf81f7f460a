"""generate and predict: clips of classes and of a beginning, what they leave, and what they refuse."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from magvit2.generating import Given, open_language_model, predict
from magvit2.sampling import MaskedSampling
from magvit2.tokenizer import Tokenizer
from magvit2.video import open_media, read_image
from tests.cli.running import done, run, save_clip, tree
from tests.lms import save_causal, save_masked
from tests.video.making import scene

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def masked(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked model with three tasks."""
    folder = tmp_path_factory.mktemp("lm") / "masked"
    return save_masked(folder, model, tasks=("class", "predict", "inpaint"))


@pytest.fixture(scope="module")
def causal(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal model."""
    return save_causal(tmp_path_factory.mktemp("lm") / "causal", model)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Thirteen frames of the model's size."""
    return save_clip(tmp_path / "clip.mkv", scene(13, 16, 24), Fraction(15))


def far(one: np.ndarray, two: np.ndarray) -> float:
    """Mean distance in grey levels."""
    return float(np.abs(one.astype(float) - two).mean())


def frames_of(path: Path) -> np.ndarray:
    with open_media(path) as reader:
        return np.stack(list(reader))


def test_classes_give_files_a_sheet_and_a_report(masked: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("generate", "--lm", masked, "--model", model, "--out", out, "--num", 2, "--steps", 3, "--film", "--json")
    rows = json.loads(done(*words, "--class", "walk", "none"))
    assert rows["samples"] == 4 and rows["classes"] == "walk, none"
    files = [f"samples/{name}/{seed}.mp4" for name in ("none", "walk") for seed in ("0000", "0001")]
    assert [name for name in tree(out) if "." in name] == sorted(["film.mp4", "report.json", "samples.png", *files])
    assert frames_of(out / "samples/walk/0000.mp4").shape == (9, 16, 24, 3)
    report = json.loads((out / "report.json").read_text())
    assert report["settings"]["num_steps"] == 3
    assert [(fact["class"], fact["seed"]) for fact in report["samples"]] == [
        ("walk", 0), ("walk", 1), ("none", 0), ("none", 1),
    ]  # fmt: skip
    sheet = read_image(out / "samples.png")
    assert sheet.shape == (2 * (8 * 16 + 4), 2 * (3 * 8 * 24 + 4), 3) and sheet.std() > 10
    assert len(frames_of(out / "film.mp4")) == 3 + 8


@pytest.mark.parametrize("kind", ["masked", "causal"])
def test_a_seed_gives_its_sample_in_any_batch(
    kind: str, model: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    lm = request.getfixturevalue(kind)
    common = ("generate", "--lm", lm, "--model", model, "--class", "run", "walk")
    done(*common, "--out", tmp_path / "many", "--num", 3)
    done(*common, "--out", tmp_path / "one", "--num", 1, "--seed", 2)
    many, one = (frames_of(tmp_path / folder / "samples/walk/0002.mp4") for folder in ("many", "one"))
    other = frames_of(tmp_path / "many" / "samples/walk/0001.mp4")
    assert (
        far(many, one) < 2 < far(other, one)
    )  # H.264 comes out of its encoder's threads with another byte now and then


def test_images_are_png_and_long_clips_are_long(model: Path, masked: Path, tmp_path: Path) -> None:
    images = save_masked(tmp_path / "images", model, grid=(1, 2, 3), num_classes=0, class_names=())
    done("generate", "--lm", images, "--model", model, "--out", tmp_path / "a", "--num", 1)
    assert (tmp_path / "a" / "samples" / "none" / "0000.png").is_file()
    long = ("generate", "--lm", masked, "--model", model, "--class", "run", "--num", 1, "--frames", 15)
    done(*long, "--out", tmp_path / "b")
    assert len(frames_of(tmp_path / "b" / "samples/run/0000.mp4")) == 15


def test_a_prediction_keeps_what_is_given_and_shows_what_was_true(
    masked: Path, model: Path, clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mkv"
    rows = json.loads(done("predict", clip, out, "--lm", masked, "--model", model, "--given", 5, "--json"))
    assert rows["tokens given"] == "12 of 18" and frames_of(out).shape == (9, 16, 24, 3)
    assert np.isfinite(rows["PSNR of the last given frame in their place (dB)"])
    assert read_image(tmp_path / "out.png").shape[0] == 3 * (8 * 16 + 4)
    tokenizer = Tokenizer.from_pretrained(model)
    lm = open_language_model(str(masked), CPU)
    made = predict(tokenizer, lm, frames_of(clip), Given("predict", 5), MaskedSampling())
    first = tokenizer.encode(torch.from_numpy(frames_of(clip)[:5]).permute(3, 0, 1, 2)[None] / 127.5 - 1)
    assert torch.equal(made.ids[:2], first[0])
    assert made.is_known.sum() == 12


def test_what_is_not_given_is_not_looked_at(masked: Path, model: Path, clip: Path) -> None:
    tokenizer, lm = Tokenizer.from_pretrained(model), open_language_model(str(masked), CPU)
    frames = frames_of(clip)
    for given, changed in (
        (Given("predict", 5), np.s_[5:]),
        (Given("inpaint", box=(0, 8, 16, 8)), np.s_[:, :16, 8:16]),
    ):
        other = frames.copy()
        other[changed] = 255 - other[changed]
        made = [predict(tokenizer, lm, each, given, MaskedSampling()) for each in (frames, other)]
        assert torch.equal(made[0].ids, made[1].ids)


def test_a_causal_model_predicts_too(causal: Path, model: Path, clip: Path, tmp_path: Path) -> None:
    rows = json.loads(
        done(
            "predict",
            clip,
            tmp_path / "o.mp4",
            "--lm",
            causal,
            "--model",
            model,
            "--given",
            1,
            "--class",
            "run",
            "--json",
        )
    )
    assert rows["tokens given"] == "6 of 18" and rows["class"] == "run"


def test_a_source_of_another_size_is_fitted_on_demand(model: Path, tmp_path: Path) -> None:
    lm = save_masked(tmp_path / "square", model, grid=(2, 2, 2))
    clip = save_clip(tmp_path / "clip.mkv", scene(5, 24, 40))
    words = ("predict", clip, tmp_path / "o.mp4", "--lm", lm, "--model", model, "--given", 1)
    assert run(*words).line == ("a clip of 40 x 24 pixels: this model makes 16 x 16; scale and cut it to that (--fit)")
    assert not (tmp_path / "o.mp4").exists()
    done(*words, "--fit")
    assert frames_of(tmp_path / "o.mp4").shape == (5, 16, 16, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--class", "wakl"), "class 'wakl': expected one of run, walk; did you mean 'walk'?"),
        (("--class", "7"), "class '7': expected one of run, walk"),
        (("--num", "0"), "--num 0, --frames None: expected 1 or more"),
        (("--steps", "0"), "num_steps = 0"),
        (("--preset", "magvit3"), "'magvit3'"),
        (("--guidance", "-1"), "guidance of scale -1"),
        (("--lm", "nowhere"), "no masked-lm called nowhere"),
    ],
)
def test_bad_requests_are_one_line(
    words: tuple[str, ...], message: str, masked: Path, model: Path, tmp_path: Path
) -> None:
    line = run("generate", "--lm", masked, "--model", model, "--out", tmp_path / "out", *words).line
    assert message in line
    assert not (tmp_path / "out").exists()


def test_models_that_do_not_belong_together_are_refused(
    masked: Path, causal: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    line = run("generate", "--lm", masked, "--out", out).line
    assert "trained on tokens of tokenizer" in line and "(--model)" in line
    assert "holds a tokenizer" in run("generate", "--lm", model, "--model", model, "--out", out).line
    line = run("generate", "--lm", causal, "--model", model, "--out", out, "--steps", 3).line
    assert "num_steps: settings of masked sampling" in line
    line = run("generate", "--lm", causal, "--model", model, "--out", out, "--film").line
    assert "is a causal model" in line and not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--given", "4"), "4 frames given: expected 1, 5, whole latents"),
        (("--given", "21", "--frames", "25"), "a clip of 13 frames: expected 21 or more"),
        (("--task", "outpaint"), "task 'outpaint': this model was trained for class, predict, inpaint"),
        (("--task", "inpaint", "--box", "0", "4", "8", "8"), "multiples of 8 and 8 within 16 x 24"),
        (("--task", "inpaint", "--frames", "25"), "a clip of 13 frames: expected 25 or more"),
        (("--class", "jump"), "class 'jump': expected one of run, walk"),
    ],
)
def test_bad_predictions_are_one_line(
    words: tuple[str, ...], message: str, masked: Path, model: Path, clip: Path, tmp_path: Path
) -> None:
    line = run("predict", clip, tmp_path / "o.mp4", "--lm", masked, "--model", model, *words).line
    assert message in line
    assert not (tmp_path / "o.mp4").exists()
