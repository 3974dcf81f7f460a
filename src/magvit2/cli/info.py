"""The verb info: what a model, a preset or a file is."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from magvit2.cli.common import Json, check_token_file, show
from magvit2.errors import InputError

_RATES = (25, 30)
_MOST_NAMED = 10


def info(
    subject: Annotated[Positional[str], arg(metavar="[MODEL|FILE]")] = "default",
    json: Json = False,
) -> None:
    """Tell what a model costs, or what a file holds.

    Args:
        subject: preset, embedded name, model folder or hub id; or a video, an image, a folder of frames, a token file,
            or token shards (a folder or a .parquet file).
        json: print machine-readable results instead of tables.
    """
    if _is_file(Path(subject)):  # before anything heavy is imported
        show(subject, _file_rows(Path(subject), json), json)
        return
    from magvit2.registry import embedded_folder
    from magvit2.tokenizer.presets import TOKENIZER_PRESETS

    is_name = embedded_folder("tokenizer", subject) is not None
    if subject in TOKENIZER_PRESETS:
        show(f"tokenizer preset {subject}", _config_rows(TOKENIZER_PRESETS[subject]), json)
    elif Path(subject).is_dir() and not is_name and not (Path(subject) / "config.json").is_file():
        show(subject, _file_rows(Path(subject), json), json)
    else:
        show(f"tokenizer {subject}", _model_rows(subject), json)


def _is_file(path: Path) -> bool:
    """Whether this is a file; of what is not there, the name decides."""
    from magvit2.video import is_media

    return path.is_file() or (not path.exists() and (is_media(path) or path.suffix in (".safetensors", ".parquet")))


def _model_rows(name: str) -> dict[str, Any]:
    from magvit2.store import find_model
    from magvit2.tokenizer import Tokenizer

    folder = find_model(Tokenizer.kind, name)
    tokenizer = Tokenizer.from_pretrained(name)
    rows = {"name": folder.name, "fingerprint": tokenizer.fingerprint}
    return rows | _config_rows(tokenizer.config)


def _config_rows(config: Any) -> dict[str, Any]:
    from magvit2.tokenizer.audit import audit

    costs = audit(config)
    return {
        "parameters": costs.num_parameters,
        "encoder parameters": costs.encoder_parameters,
        "decoder parameters": costs.decoder_parameters,
        "encoder MFLOP per pixel (2 x MAC, long clip)": costs.encoder_mflop_per_pixel,
        "decoder MFLOP per pixel (2 x MAC, long clip)": costs.decoder_mflop_per_pixel,
        "quantizer": config.quantizer,
        "causal": "yes" if config.is_causal else f"no: independent windows of {config.window} frames",
        "strides (t, h, w)": list(config.strides),
        "bits per token": round(math.log2(config.space.vocab_size), 3),
        "vocabulary": config.space.vocab_size,
        "bits per pixel (long clip)": config.space.bits_per_pixel,
        "bits per pixel (image)": config.space.bits_per_pixel * config.strides[0],
        **_reach_rows(config),
    }


def _reach_rows(config: Any) -> dict[str, Any]:
    """Return how long an id takes to come, how far before a frame decoding must begin, and whether tiles are exact."""
    from magvit2.tokenizer.reach import decoder_halo, latency_frames, pre_roll

    frames, latents = latency_frames(config), pre_roll(config)
    has_bound = None not in decoder_halo(config)[0]
    return {
        "latency (frames)": frames,
        **{f"latency at {rate} frames/s (ms)": 1000 * frames / rate for rate in _RATES},
        "pre-roll (latent frames)": latents,
        "pre-roll (frames)": latents * config.strides[0],
        "tiles": "exact" if has_bound else "blended: normalisation sees the whole frame",
    }


def _file_rows(path: Path, as_json: bool) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        return _token_rows(path)
    if path.suffix == ".parquet" or (path.is_dir() and any(path.glob("*.parquet"))):
        return _shard_rows(path, as_json)
    from magvit2.video import probe

    media = probe(path)
    return {
        "kind": media.kind,
        "frames": media.num_frames,
        "height x width": [media.height, media.width],
        "frames per second": None if media.fps is None else float(media.fps),
        "variable rate": media.is_variable_rate,
        "codec": media.codec,
        "pixel format": media.pixel_format,
        "bit depth": media.bit_depth,
        "colour matrix, range": f"{media.colour_matrix}, {media.colour_range}",
        "rotation (degrees clockwise)": media.rotation,
        "alpha": media.has_alpha,
    }


def _token_rows(path: Path) -> dict[str, Any]:
    check_token_file(path)
    from magvit2.data.tokens import load_tokens

    tokens = load_tokens(path)
    return {
        "kind": "tokens",
        "frames (T, H, W)": list(tokens.size),
        "frames per second": None if tokens.fps is None else float(tokens.fps),
        "grid (t, h, w)": list(tokens.ids.shape),
        "vocabulary": tokens.space.vocab_size,
        "strides (t, h, w)": list(tokens.space.strides),
        "bits per pixel": tokens.bits_per_pixel,
        "distinct ids": tokens.ids.unique().numel(),
        "made by": tokens.fingerprint,
    }


def _shard_rows(path: Path, as_json: bool) -> dict[str, Any]:
    from magvit2.data.shards import read_token_shards

    if not path.exists():
        raise InputError(f"{path}: no such file; check the name")
    shards = read_token_shards(path)
    grids = {" x ".join(map(str, grid)): count for grid, count in shards.grids.items()}
    return {
        "kind": "token shards",
        "shards": shards.num_shards,
        "rows": len(shards),
        "tokens": shards.num_tokens,
        "grids (t, h, w)": grids if as_json else _first_of(f"{grid}: {count:,}" for grid, count in grids.items()),
        "labels": list(shards.labels) if as_json else _first_of(shards.labels),
        "vocabulary": shards.space.vocab_size,
        "strides (t, h, w)": list(shards.space.strides),
        "bits per pixel": shards.bits_per_pixel,
        "distinct ids": shards.num_distinct_ids,
        "made by": shards.fingerprint,
        "made with": shards.made_with,
    }


def _first_of(values: Iterable[str]) -> str:
    """Return the first of some values in a line, with the number of all where there are more."""
    known = list(values)
    more = f", ... ({len(known):,} in all)" if len(known) > _MOST_NAMED else ""
    return ", ".join(known[:_MOST_NAMED]) + more
