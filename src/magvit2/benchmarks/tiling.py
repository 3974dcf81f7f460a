"""Frames in tiles against whole frames: ids and pixels that differ, time, and peak memory.

    magvit2 benchmark tiling
    python -m magvit2.benchmarks.tiling video-128-base --tiles 128 --side 256

The clip is one of scikit-image's photographs under a moving camera, since ids of noise would tell nothing; a preset has
random weights, and its differences are no measure of a trained model's. Time and memory are ratios over those of whole
frames, each in a process of its own.
"""

from collections.abc import Sequence
from typing import Any

import torch

from magvit2.benchmarks.measure import DTYPES, DtypeName, Setup, dtypes_called, in_fresh_process, peak_mb, time_in_turn
from magvit2.benchmarks.report import Report, Row, describe_machine, parser, setup_of, show
from magvit2.benchmarks.tokenizer import load
from magvit2.data.frames import to_clip
from magvit2.data.synthetic import sample_clip
from magvit2.evaluation.tiling import compare_tiles

TILES = (128, 256)
SIDE = 512
NUM_FRAMES = 1


def benchmark_tiling(
    setup: Setup,
    model: str = "default",
    dtypes: Sequence[DtypeName] = ("fp32", "bf16"),
    tiles: Sequence[int] = TILES,
    side: int = SIDE,
    num_frames: int = NUM_FRAMES,
) -> Report:
    """Measure a preset, embedded weights or a model folder on square frames of `side` pixels."""
    report = Report("tiling", describe_machine(setup), {"difference": [], "cost": []})
    for dtype in dtypes:
        case: dict[str, Any] = {"model": model, "dtype": dtype, "num_frames": num_frames, "side": side}
        report.tables["difference"] += [
            in_fresh_process(measure_difference, setup, tile=tile, **case) for tile in tiles
        ]
        whole, *rows = (in_fresh_process(measure_cost, setup, tile=tile, **case) for tile in (None, *tiles))
        report.tables["cost"] += [{**row, **_ratios(row, whole)} for row in (whole, *rows)]
    return report


def measure_difference(setup: Setup, model: str, dtype: DtypeName, num_frames: int, side: int, tile: int) -> Row:
    """Return what differs between tiles and whole frames; meant for a process of its own."""
    device = setup.start()
    clip = _clip(num_frames, side, device)
    results = dict(compare_tiles(load(model, device, dtype), clip, tile))
    finite = {name: value if abs(value) < float("inf") else None for name, value in results.items()}
    return {"model": model, "dtype": dtype, "clip": f"{num_frames}x{side}x{side}", "tile": tile, **finite}


def measure_cost(setup: Setup, model: str, dtype: DtypeName, num_frames: int, side: int, tile: int | None) -> Row:
    """Return time and peak memory of encoding and decoding, in tiles or whole; meant for a process of its own."""
    device = setup.start()
    tokenizer, clip = load(model, device, dtype), _clip(num_frames, side, device)
    ids = tokenizer.encode(clip, tile=tile)
    calls = {
        "encode": lambda: tokenizer.encode(clip, tile=tile),
        "decode": lambda: tokenizer.decode(ids, tile=tile),
    }
    seconds = time_in_turn(calls, setup.repeats, device).median_s
    row: Row = {"model": model, "dtype": dtype, "clip": f"{num_frames}x{side}x{side}", "tile": tile}
    return {**row, **{f"{verb}_s": value for verb, value in seconds.items()}, "peak_mb": peak_mb(device)}


def _ratios(row: Row, whole: Row) -> Row:
    names = {"x_encode_time": "encode_s", "x_decode_time": "decode_s", "x_peak": "peak_mb"}
    return {ratio: row[name] / whole[name] for ratio, name in names.items()}


def _clip(num_frames: int, side: int, device: torch.device) -> torch.Tensor:
    return to_clip(sample_clip(num_frames, side, side)).to(device)


def main() -> None:
    """Run from `python -m`."""
    options = parser(__doc__)
    options.add_argument("model", nargs="?", default="default")
    options.add_argument("--dtype", choices=["both", *DTYPES], default="both")
    options.add_argument("--tiles", type=int, nargs="+", default=TILES)
    options.add_argument("--side", type=int, default=SIDE)
    options.add_argument("--frames", type=int, default=NUM_FRAMES)
    given = options.parse_args()
    dtypes = dtypes_called(given.dtype)
    report = benchmark_tiling(setup_of(given), given.model, dtypes, given.tiles, given.side, given.frames)
    show(report, given.json)


if __name__ == "__main__":
    main()
