"""What generation and prediction leave in a folder: clips or images, sheets, a film of the decoding, a report."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jaxtyping import UInt8

from magvit2.data.frames import Frames, centre_square, resize
from magvit2.errors import InputError
from magvit2.generating import (
    Given,
    LanguageModel,
    Prediction,
    Sample,
    Sampling,
    class_name,
    film,
    generate,
    grid_for,
    predict,
)
from magvit2.lm import LMConfig, MaskedLM
from magvit2.metrics import psnr
from magvit2.sampling import MaskedSampling
from magvit2.store import write_text
from magvit2.tokenizer import Tokenizer
from magvit2.video import VideoWriter, open_media, write_image

FPS = Fraction(15)
_FILM_FPS = 4
_HOLD = 8
_COLUMNS = 8
_LEAST_SIDE = 128

Picture = UInt8[np.ndarray, "Y X 3"]


def write_samples(
    tokenizer: Tokenizer,
    lm: LanguageModel,
    labels: Sequence[int],
    seeds: Sequence[int],
    settings: Sampling,
    folder: Path,
    num_frames: int | None = None,
) -> list[Path]:
    """Write a file for each label and seed, `samples.png` and `report.json` to a folder; return the files.

    The files lie in `samples/CLASS/`: that folder is a source of labelled clips or images, as any other.
    """
    pairs = [(label, seed) for label in labels for seed in seeds]
    of_pairs = [label for label, _ in pairs], [seed for _, seed in pairs]
    files: list[Path] = []
    sheets: list[Frames] = []
    facts: list[dict[str, Any]] = []
    for sample in generate(tokenizer, lm, *of_pairs, settings, num_frames):
        files.append(_write(folder, sample))
        sheets.append(sample.frames)
        name = str(files[-1].relative_to(folder))
        facts.append({"file": name, "class": sample.label or "none", "seed": sample.seed})
    rows = [sheets[start : start + len(seeds)] for start in range(0, len(sheets), len(seeds))]
    write_image(folder / "samples.png", contact_sheet(rows))
    report = {
        "language_model": lm.fingerprint,
        "tokenizer": tokenizer.fingerprint,
        "kind": type(lm).kind,
        "settings": asdict(settings),
        "samples": facts,
    }
    write_text(folder / "report.json", json.dumps(report, indent=2) + "\n")
    return [*files, folder / "samples.png", folder / "report.json"]


def _write(folder: Path, sample: Sample) -> Path:
    own = folder / "samples" / quote(sample.label or "none", safe="")
    own.mkdir(parents=True, exist_ok=True)
    if len(sample.frames) == 1:
        path = own / f"{sample.seed:04d}.png"
        write_image(path, sample.frames[0])
    else:
        path = own / f"{sample.seed:04d}.mp4"
        write_clip(path, sample.frames, FPS)
    return path


def write_clip(path: Path, frames: Frames, fps: Fraction) -> None:
    """Write frames as a video."""
    with VideoWriter(path, fps=fps) as writer:
        for frame in frames:
            writer.write(frame)


def contact_sheet(rows: Sequence[Sequence[Frames]]) -> Picture:
    """Return clips as one picture: a row of `rows` is one of the sheet; of a moving clip its first, middle, last frame.

    Small clips are magnified to 128 pixels or so.
    """
    scale = max(1, _LEAST_SIDE // rows[0][0].shape[1])
    lines = [np.concatenate([_strip(clip, scale) for clip in row[:_COLUMNS]], axis=1) for row in rows]
    return np.concatenate(lines, axis=0)


def _strip(clip: Frames, scale: int) -> Picture:
    picks = sorted({0, len(clip) // 2, len(clip) - 1})
    strip = np.concatenate(list(clip[picks]), axis=1).repeat(scale, 0).repeat(scale, 1)
    return np.pad(strip, ((0, 4), (0, 4), (0, 0)), constant_values=255)


def write_film(
    tokenizer: Tokenizer,
    lm: LanguageModel,
    labels: Sequence[int],
    seeds: Sequence[int],
    settings: Sampling,
    folder: Path,
) -> Path:
    """Write `film.mp4`: step by step the guesses for a sample of each label, dimmed until they stand; return its path.

    Raises InputError for a causal model, which has no guesses.
    """
    if not isinstance(lm, MaskedLM) or not isinstance(settings, MaskedSampling):
        raise InputError("a film shows the steps of masked sampling; this model is causal")
    shown = list(labels[:_COLUMNS])
    path = folder / "film.mp4"
    with VideoWriter(path, fps=_FILM_FPS) as writer:
        last: Picture | None = None
        for clips in film(tokenizer, lm, shown, [seeds[0]] * len(shown), settings):
            last = contact_sheet([[clip] for clip in clips])
            last = last[: len(last) // 2 * 2, : last.shape[1] // 2 * 2]
            writer.write(last)
        for _ in range(_HOLD):
            assert last is not None
            writer.write(last)
    return path


def read_source(source: Path, config: LMConfig, num_frames: int | None, *, fit: bool) -> Frames:
    """Return the frames of a file that a prediction looks at; with `fit`, scaled and cut to the model's square."""
    size = config.space.size_for(grid_for(config, num_frames))
    with open_media(source) as reader:
        frames = np.stack([frame for frame, _ in zip(reader, range(size[0]), strict=False)])
    return fitted(frames, size[1], size[2]) if fit else frames


def fitted(frames: Frames, height: int, width: int) -> UInt8[np.ndarray, "T {height} {width} 3"]:
    """Return frames scaled to a height and width; to a square, their middle square is."""
    return centre_square(frames, height) if height == width else resize(frames, height, width)


def write_prediction(
    tokenizer: Tokenizer,
    lm: LanguageModel,
    clip: Frames,
    given: Given,
    settings: Sampling,
    target: Path,
    *,
    num_frames: int | None = None,
    label: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Write a prediction to `target` and a sheet beside it; return a report of names and values."""
    made = predict(tokenizer, lm, clip, given, settings, num_frames, label, seed)
    write_clip(target, made.frames, FPS)
    sheet = target.with_suffix(".png") if target.suffix else target / "sheet.png"
    write_image(sheet, prediction_sheet(made, clip))
    report: dict[str, Any] = {
        "task": given.task,
        "frames (T, H, W)": list(made.frames.shape[:3]),
        "tokens given": f"{int(made.is_known.sum())} of {made.is_known.size}",
        "class": "none" if label is None else class_name(lm.config, label),
        "sheet": str(sheet),
        "language model": lm.fingerprint,
        "tokenizer": tokenizer.fingerprint,
    }
    if given.task == "predict" and len(clip) >= len(made.frames):
        report |= _against_copying(made.frames, clip, given.num_frames)
    return report


def _against_copying(frames: Frames, truth: Frames, num_given: int) -> dict[str, Any]:
    """Return the PSNR of predicted frames, and of the last given frame in their place."""
    places = range(num_given, len(frames))
    ours = [psnr(truth[place], frames[place]) for place in places]
    copied = [psnr(truth[place], truth[num_given - 1]) for place in places]
    return {
        "PSNR of predicted frames (dB)": float(np.mean(ours)),
        "PSNR of the last given frame in their place (dB)": float(np.mean(copied)),
    }


def prediction_sheet(made: Prediction, clip: Frames) -> Picture:
    """Return rows of frames: what was given, what was made and, where the clip has them, what was true."""
    count = min(_COLUMNS + 1, len(made.frames))
    picks = np.linspace(0, len(made.frames) - 1, count).round().astype(int)
    rows = [made.given[picks], made.frames[picks]]
    if len(clip) >= len(made.frames):
        rows.append(clip[picks])
    return np.concatenate(list(_lines(rows)), axis=0)


def _lines(rows: Sequence[Frames]) -> Iterator[Picture]:
    scale = max(1, _LEAST_SIDE // rows[0].shape[1])
    for row in rows:
        line = np.concatenate(list(row), axis=1).repeat(scale, 0).repeat(scale, 1)
        yield np.pad(line, ((0, 4), (0, 0), (0, 0)), constant_values=255)
