"""The demo: a clip becomes tokens and comes back, with everything one wants to see of it.

    magvit2 demo [INPUT]

It writes to a folder `tokens.safetensors`, `reconstruction.mp4`, `side-by-side.mp4`, `contact-sheet.png` and
`report.json` (images instead of videos for an image). Without an input the clip is made from scikit-image's photographs
under a moving camera. With language models for its tokens it also writes `samples-MODEL.png`, clips or images of some
classes; `film.mp4`, how such are decoded; and `prediction.mp4` and `.png`, what follows the input's first frames.
"""

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from magvit2.data.frames import Frames
from magvit2.data.synthetic import sample_clip
from magvit2.data.tokens import save_tokens
from magvit2.generating import Given, class_name, generate
from magvit2.lm import MaskedLM
from magvit2.metrics import CodeUsage, FrameQuality
from magvit2.pipelines import (
    DEFAULT_FPS,
    Frame,
    FramePair,
    Progress,
    decode_tokens,
    encode_frames,
    open_sink,
    side_by_side_frames,
)
from magvit2.recipes.contact_sheet import contact_sheet, pick_frames
from magvit2.recipes.samples import contact_sheet as samples_sheet
from magvit2.recipes.samples import fitted, write_film, write_prediction
from magvit2.sampling import MaskedSampling
from magvit2.store import write_text
from magvit2.tokenizer import Tokenizer
from magvit2.tokens import Tokens
from magvit2.video import open_media, probe, write_image

_CLASSES, _SAMPLES, _GIVEN = 8, 4, 5


class Demo(NamedTuple):
    """What the demo found out: a flat report of names and values, and the files that it wrote."""

    report: dict[str, Any]
    files: list[Path]


def run_demo(
    tokenizer: Tokenizer,
    source: Path | None,
    folder: Path,
    bar: Callable[[str, int | None], Progress],
    *,
    tile: int | None = None,
    lms: Mapping[str, MaskedLM] = MappingProxyType({}),
) -> Demo:
    """Encode, decode, measure and show `source` (None: the built-in clip) in `folder`, made if it is missing.

    `bar(label, total)` returns the function that is told how many frames are done. Frames are computed in squares of
    `tile` pixels a side, or whole. `lms` are language models of this tokenizer's ids, by name. Raises MediaError for a
    bad source; a folder that was made for it is removed then.
    """
    clip = _sample() if source is None else _medium(source)
    with _removed_on_failure(folder):
        report, files = _run(tokenizer, clip, folder, bar, tile)
        for name, lm in lms.items():
            found, made = _generate(tokenizer, name, lm, clip, folder)
            report |= found
            files = [*files, *made]
        write_text(folder / "report.json", json.dumps(report, indent=2) + "\n")
        return Demo(report, [*files, folder / "report.json"])


def _generate(tokenizer: Tokenizer, name: str, lm: MaskedLM, clip: "_Clip", folder: Path) -> Demo:
    """Write samples of a model, and, of one of clips, a film of their decoding and a prediction of the clip."""
    count, settings = min(_CLASSES, max(1, lm.config.num_classes)), MaskedSampling()
    shown = [index * lm.config.num_classes // count for index in range(count)]
    pairs = [(label, seed) for label in shown for seed in range(_SAMPLES)]
    start = time.perf_counter()
    made = list(generate(tokenizer, lm, [label for label, _ in pairs], [seed for _, seed in pairs], settings))
    sample_s = (time.perf_counter() - start) / len(made)
    sheet = folder / f"samples-{name}.png"
    rows = [[sample.frames for sample in made[first : first + _SAMPLES]] for first in range(0, len(made), _SAMPLES)]
    write_image(sheet, samples_sheet(rows))
    report: dict[str, Any] = {
        f"classes in {sheet.name}": ", ".join(class_name(lm.config, label) or "none" for label in shown),
        f"seconds a sample of {name}": sample_s,
    }
    if lm.config.grid[0] == 1:
        return Demo(report, [sheet])
    film = write_film(tokenizer, lm, shown, [0], settings, folder)
    frames = _for_prediction(clip, lm)
    if len(frames) < _GIVEN:
        return Demo(report, [sheet, film])
    target = folder / "prediction.mp4"
    found = write_prediction(tokenizer, lm, frames, Given("predict", _GIVEN), settings, target)
    report |= {name: value for name, value in found.items() if name.startswith("PSNR")}
    return Demo(report, [sheet, film, target, target.with_suffix(".png")])


def _for_prediction(clip: "_Clip", lm: MaskedLM) -> Frames:
    """Return the first frames of the clip, scaled and cut to what the model makes."""
    length, height, width = lm.config.space.size_for(lm.config.grid)
    return fitted(np.stack(list(islice(clip.frames(), length))), height, width)


def _run(
    tokenizer: Tokenizer, clip: "_Clip", folder: Path, bar: Callable[[str, int | None], Progress], tile: int | None
) -> Demo:
    start = time.perf_counter()
    tokens = encode_frames(tokenizer, clip.frames(), clip.fps, bar("encode", clip.num_frames), tile=tile)
    encode_s = time.perf_counter() - start
    suffix = ".png" if clip.fps is None else ".mp4"
    names = ("tokens.safetensors", f"reconstruction{suffix}", f"side-by-side{suffix}", "contact-sheet.png")
    files = [folder / name for name in names]
    for stale in ("reconstruction.png", "reconstruction.mp4", "side-by-side.png", "side-by-side.mp4"):
        (folder / stale).unlink(missing_ok=True)  # of a demo of another kind of input
    save_tokens(files[0], tokens)
    decoded = _Timed(decode_tokens(tokenizer, tokens, tile=tile))
    pairs = map(FramePair, clip.frames(), decoded)
    quality, picked = _show(pairs, tokens, files[1], files[2], bar("decode", tokens.size[0]))
    write_image(files[3], contact_sheet(picked, tokens))
    return Demo(_report(clip.name, tokens, quality, encode_s, decoded.elapsed_s), files)


@contextmanager
def _removed_on_failure(folder: Path) -> Iterator[None]:
    """Remove the folder and what is in it where the block raises, unless it was there before."""
    was_there = folder.exists()
    try:
        yield
    except BaseException:
        if not was_there:
            shutil.rmtree(folder, ignore_errors=True)
        raise


class _Clip(NamedTuple):
    name: str
    fps: Fraction | None
    num_frames: int | None
    frames: Callable[[], Iterator[Frame]]  # from the beginning, each time


def _sample() -> _Clip:
    frames = sample_clip()
    return _Clip("photographs under a moving camera", DEFAULT_FPS, len(frames), lambda: iter(frames))


def _medium(source: Path) -> _Clip:
    media = probe(source)
    return _Clip(str(source), media.fps, media.num_frames, lambda: _frames(source))


def _frames(source: Path) -> Iterator[Frame]:
    with open_media(source) as reader:
        yield from reader


class _Timed:
    """Passes items on and adds up the time that they took to come."""

    def __init__(self, items: Iterator[Frame]) -> None:
        self.items = items
        self.elapsed_s = 0.0

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        start = time.perf_counter()
        try:
            return next(self.items)
        finally:
            self.elapsed_s += time.perf_counter() - start


def _show(
    pairs: Iterator[FramePair], tokens: Tokens, alone: Path, beside: Path, progress: Progress
) -> tuple[FrameQuality, list[FramePair]]:
    """Write both videos in one pass; return the quality and the frames for the contact sheet."""
    quality = FrameQuality()
    picks, picked = pick_frames(tokens), []
    with ExitStack() as stack:
        alone_sink = stack.enter_context(open_sink(alone, tokens.fps))
        beside_sink = stack.enter_context(open_sink(beside, tokens.fps))
        for index, pair in enumerate(quality.watch(pairs)):
            alone_sink.write(pair.decoded)
            beside_sink.write(next(side_by_side_frames([pair])))
            if index in picks:
                picked.append(pair)
            progress(index + 1)
    return quality, picked


def _report(name: str, tokens: Tokens, quality: FrameQuality, encode_s: float, decode_s: float) -> dict[str, Any]:
    usage = CodeUsage(tokens.space)
    usage.add(tokens.ids)
    frames, height, width = tokens.size
    token_bytes = math.ceil(tokens.ids.numel() * math.log2(tokens.space.vocab_size) / 8)
    return {
        "input": name,
        "frames (T, H, W)": [frames, height, width],
        "frames per second": None if tokens.fps is None else float(tokens.fps),
        "tokens (t, h, w)": list(tokens.ids.shape),
        "distinct tokens": usage.num_distinct,
        "bytes as raw RGB": frames * height * width * 3,
        "bytes as tokens": token_bytes,
        "bits per pixel": tokens.bits_per_pixel,
        "PSNR, mean over frames (dB)": quality.psnr,
        "SSIM, mean over frames": None if math.isnan(quality.ssim) else quality.ssim,
        "encode (frames/s)": frames / encode_s,
        "decode (frames/s)": frames / decode_s,
        "tokenizer": tokens.fingerprint,
    }
