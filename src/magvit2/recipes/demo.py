"""The demo: a clip becomes tokens and comes back, with everything one wants to see of it.

    magvit2 demo [INPUT]

It writes to a folder `tokens.safetensors`, `reconstruction.mp4`, `side-by-side.mp4`, `contact-sheet.png` and
`report.json` (images instead of videos for an image). Without an input the clip is made from scikit-image's photographs
under a moving camera.
"""

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from magvit2.data.synthetic import sample_clip
from magvit2.data.tokens import save_tokens
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
from magvit2.store import write_text
from magvit2.tokenizer import Tokenizer
from magvit2.tokens import Tokens
from magvit2.video import open_media, probe, write_image


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
) -> Demo:
    """Encode, decode, measure and show `source` (None: the built-in clip) in `folder`, made if it is missing.

    `bar(label, total)` returns the function that is told how many frames are done. Frames are computed in squares of
    `tile` pixels a side, or whole. Raises MediaError for a bad source; a folder that was made for it is removed then.
    """
    clip = _sample() if source is None else _medium(source)
    with _removed_on_failure(folder):
        return _run(tokenizer, clip, folder, bar, tile)


def _run(
    tokenizer: Tokenizer, clip: "_Clip", folder: Path, bar: Callable[[str, int | None], Progress], tile: int | None
) -> Demo:
    start = time.perf_counter()
    tokens = encode_frames(tokenizer, clip.frames(), clip.fps, bar("encode", clip.num_frames), tile=tile)
    encode_s = time.perf_counter() - start
    suffix = ".png" if clip.fps is None else ".mp4"
    names = (
        "tokens.safetensors",
        f"reconstruction{suffix}",
        f"side-by-side{suffix}",
        "contact-sheet.png",
        "report.json",
    )
    files = [folder / name for name in names]
    for stale in ("reconstruction.png", "reconstruction.mp4", "side-by-side.png", "side-by-side.mp4"):
        (folder / stale).unlink(missing_ok=True)  # of a demo of another kind of input
    save_tokens(files[0], tokens)
    decoded = _Timed(decode_tokens(tokenizer, tokens, tile=tile))
    pairs = map(FramePair, clip.frames(), decoded)
    quality, picked = _show(pairs, tokens, files[1], files[2], bar("decode", tokens.size[0]))
    write_image(files[3], contact_sheet(picked, tokens))
    report = _report(clip.name, tokens, quality, encode_s, decoded.elapsed_s)
    write_text(files[4], json.dumps(report, indent=2) + "\n")
    return Demo(report, files)


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
