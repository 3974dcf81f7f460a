"""The stream against the whole clip: speed, equality, latency in frames, and memory that does not grow with length.

    magvit2 benchmark streaming
    python -m magvit2.benchmarks.streaming video-128-base --device cuda

Speed and equality are those of the first number of frames; every number of frames is then encoded and decoded as a
stream in a process of its own, whose peak memory is compared with the first one's.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from magvit2.benchmarks.measure import DTYPES, DtypeName, Setup, dtypes_called, in_fresh_process, peak_mb, time_in_turn
from magvit2.benchmarks.report import Report, Row, describe_machine, parser, setup_of, show
from magvit2.benchmarks.tokenizer import load, random_clips
from magvit2.tokenizer import Tokenizer

FRAMES = (33, 1025)
SIDE = 128


def benchmark_streaming(
    setup: Setup,
    model: str = "default",
    dtypes: Sequence[DtypeName] = ("fp32", "bf16"),
    num_frames: Sequence[int] = FRAMES,
    side: int = SIDE,
) -> Report:
    """Measure streams of a preset, embedded weights or a model folder."""
    report = Report("streaming", describe_machine(setup), {"speed": [], "memory": []})
    for dtype in dtypes:
        case: dict[str, Any] = {"model": model, "dtype": dtype, "side": side}
        report.tables["speed"].append(in_fresh_process(measure_speed, setup, num_frames=num_frames[0], **case))
        rows = [in_fresh_process(measure_memory, setup, num_frames=count, **case) for count in num_frames]
        report.tables["memory"] += [{**row, "x_peak": row["peak_mb"] / rows[0]["peak_mb"]} for row in rows]
    return report


def measure_speed(setup: Setup, model: str, dtype: DtypeName, num_frames: int, side: int) -> Row:
    """Return speed and equality of both ways through a clip; meant for a process of its own."""
    device = setup.start()
    tokenizer = load(model, device, dtype)
    clip = random_clips(1, (num_frames, side, side), device)
    ids = tokenizer.encode(clip)
    calls = {
        "encode": lambda: tokenizer.encode(clip),
        "encode_stream": lambda: torch.cat(list(tokenizer.encode_stream(clip[0].unbind(1)))),
        "decode": lambda: tokenizer.decode(ids)[:, :, :num_frames],
        "decode_stream": lambda: torch.stack(list(tokenizer.decode_stream(ids[0].split(1))), dim=1)[:, :num_frames],
    }
    seconds = time_in_turn(calls, setup.repeats, device).median_s
    row: Row = {"model": model, "dtype": dtype, "clip": f"{num_frames}x{side}x{side}"}
    for verb in ("encode", "decode"):
        row[f"{verb}_fps"] = num_frames / seconds[verb]
        row[f"{verb}_stream_fps"] = num_frames / seconds[f"{verb}_stream"]
        row[f"{verb}_stream_ratio"] = row[f"{verb}_stream_fps"] / row[f"{verb}_fps"]
    row["ids_equal"] = torch.equal(calls["encode_stream"](), ids[0])
    row["max_abs_difference"] = (calls["decode_stream"]() - calls["decode"]()[0]).abs().max().item()
    return {**row, "latency_frames": latency(tokenizer, clip[0])}


def measure_memory(setup: Setup, model: str, dtype: DtypeName, num_frames: int, side: int) -> Row:
    """Return the peak memory of a clip that is encoded and decoded as it comes; meant for a process of its own."""
    device = setup.start()
    tokenizer = load(model, device, dtype)
    generator = torch.Generator().manual_seed(0)
    frames = (torch.rand(3, side, side, generator=generator).to(device) * 2 - 1 for _ in range(num_frames))
    size = (num_frames, side, side)
    count = sum(1 for _ in tokenizer.decode_stream(tokenizer.encode_stream(frames), size=size))
    return {"model": model, "dtype": dtype, "frames": count, "side": side, "peak_mb": peak_mb(device)}


def latency(tokenizer: Tokenizer, clip: Float[Tensor, "3 T H W"]) -> int:
    """Return the most frames that the encoder takes in before it gives out the next ids."""
    taken = [0]

    def frames() -> Iterator[Tensor]:
        for frame in clip.unbind(1):
            taken[0] += 1
            yield frame

    seen = [0, *(taken[0] for _ in tokenizer.encode_stream(frames()))]
    return max(later - earlier for earlier, later in itertools.pairwise(seen))


def main() -> None:
    """Run from `python -m`."""
    options = parser(__doc__)
    options.add_argument("model", nargs="?", default="default")
    options.add_argument("--dtype", choices=["both", *DTYPES], default="both")
    options.add_argument("--frames", type=int, nargs="+", default=FRAMES)
    options.add_argument("--side", type=int, default=SIDE)
    given = options.parse_args()
    dtypes = dtypes_called(given.dtype)
    show(benchmark_streaming(setup_of(given), given.model, dtypes, given.frames, given.side), given.json)


if __name__ == "__main__":
    main()
