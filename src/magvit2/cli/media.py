"""Verbs on one file: reconstruct, encode, decode."""

import time
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from magvit2.cli.common import (
    ModelOptions,
    Options,
    Tile,
    check_output,
    check_token_file,
    load_tokenizer,
    progress_bars,
    show,
)

Source = Annotated[Positional[Path], arg(metavar="IN")]
Target = Annotated[Positional[Path], arg(metavar="OUT")]
Bits = Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all)")]
Switch = Annotated[bool, arg(help_behavior_hint="")]


def encode(
    source: Source,
    target: Target,
    tile: Tile = None,
    options: Options = ModelOptions(),  # noqa: B008 - frozen
) -> None:
    """Turn a video, an image or a folder of frames into a token file (.safetensors).

    Args:
        source: video, image or folder of frames.
        target: token file to write, OUT.safetensors.
        tile: compute frames in squares of N pixels a side, for frames that are too large for the memory.
        options: the model and where it runs.
    """
    from magvit2.data.tokens import save_tokens
    from magvit2.errors import InputError
    from magvit2.pipelines import encode_file
    from magvit2.video import probe

    if target.suffix != ".safetensors":
        raise InputError(f"{target}: token files end in .safetensors; name it {target.with_suffix('.safetensors')}")
    check_output(target, source)
    total = probe(source).num_frames
    tokenizer = load_tokenizer(options)
    start = time.perf_counter()
    with progress_bars() as bar:
        tokens = encode_file(tokenizer, source, bar("encode", total), tile=tile)
    elapsed = time.perf_counter() - start
    save_tokens(target, tokens)
    rows = {
        "file": str(target),
        "frames": list(tokens.size),
        "frames per second": None if tokens.fps is None else float(tokens.fps),
        "tokens": list(tokens.ids.shape),
        "bits per pixel": tokens.bits_per_pixel,
        "bytes": target.stat().st_size,
        "encoded frames/s": tokens.size[0] / elapsed,
    }
    show(f"{source} -> {target}", rows, options.json)


def decode(
    source: Source,
    target: Target,
    num_bits: Bits = None,
    lossless: Switch = False,
    tile: Tile = None,
    options: Options = ModelOptions(),  # noqa: B008 - frozen
) -> None:
    """Turn a token file back into a video, an image or a folder of PNG frames, of its true size and rate.

    Args:
        source: token file written by encode.
        target: OUT.mp4, OUT.mkv, OUT.png, or a folder for frames.
        num_bits: decode from the lowest N bits of each token only.
        lossless: write pixels without loss.
        tile: compute frames in squares of N pixels a side, for frames that are too large for the memory.
        options: the model and where it runs.
    """
    from magvit2.data.tokens import load_tokens
    from magvit2.pipelines import decode_tokens, write_frames

    check_token_file(source)
    check_output(target, source)
    tokens = load_tokens(source)
    tokenizer = load_tokenizer(options)
    start = time.perf_counter()
    with progress_bars() as bar:
        frames = decode_tokens(tokenizer, tokens, num_bits, tile=tile)
        report = bar("decode", tokens.size[0])
        count = write_frames(target, frames, tokens.fps, lossless=lossless, progress=report)
    elapsed = time.perf_counter() - start
    rows = {
        "file": str(target),
        "frames": [count, *tokens.size[1:]],
        "frames per second": None if tokens.fps is None else float(tokens.fps),
        "decoded frames/s": count / elapsed,
    }
    show(f"{source} -> {target}", rows, options.json)


def reconstruct(
    source: Source,
    target: Target,
    num_bits: Bits = None,
    side_by_side: Switch = True,
    lossless: Switch = False,
    tile: Tile = None,
    options: Options = ModelOptions(),  # noqa: B008 - frozen
) -> None:
    """Send a video or an image through the tokenizer and back; write it beside the original, and measure.

    Args:
        source: video, image or folder of frames.
        target: OUT.mp4, OUT.mkv, OUT.png, or a folder for frames.
        num_bits: decode from the lowest N bits of each token only.
        side_by_side: write the reconstruction alone, not the original to the left of it.
        lossless: write pixels without loss.
        tile: compute frames in squares of N pixels a side, for frames that are too large for the memory.
        options: the model and where it runs.
    """
    from magvit2.metrics import FrameQuality
    from magvit2.pipelines import reconstruct_file, side_by_side_frames, write_frames
    from magvit2.video import probe

    check_output(target, source)
    media = probe(source)
    tokenizer = load_tokenizer(options)
    quality = FrameQuality()
    start = time.perf_counter()
    with progress_bars() as bar:
        report = bar("reconstruct", media.num_frames)
        pairs = quality.watch(reconstruct_file(tokenizer, source, report, num_bits, tile=tile))
        frames = side_by_side_frames(pairs) if side_by_side else (pair.decoded for pair in pairs)
        count = write_frames(target, frames, media.fps, lossless=lossless)
    rows = {
        "file": str(target),
        "frames": [count, media.height, media.width],
        "PSNR, mean over frames (dB)": quality.psnr,
        "SSIM, mean over frames": quality.ssim,
        "frames/s, encode + decode + measure": count / (time.perf_counter() - start),
    }
    show(f"{source} -> {target}", rows, options.json)
