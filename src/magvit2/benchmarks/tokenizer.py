"""Frames per second of encode and decode, the share of the machine's matmul ceiling that they reach, and peak memory.

    magvit2 benchmark tokenizer
    python -m magvit2.benchmarks.tokenizer video-128-base --device cuda --batch 8

A preset has random weights. The ceiling is a square matrix product of the same type, timed in turn with the calls; work
is counted for the frames that are encoded, frame 0 and padding included. magvit2-pytorch's tokenizer stands beside ours
where it is installed. On a GPU, or with --paper, the models of the paper's table of complexities follow.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from magvit2.benchmarks.measure import (
    DTYPES,
    DtypeName,
    NotMeasuredError,
    Setup,
    dtypes_called,
    in_fresh_process,
    matmul,
    peak_mb,
    time_in_turn,
)
from magvit2.benchmarks.report import Report, Row, describe_machine, parser, setup_of, show
from magvit2.benchmarks.rivals import magvit2_pytorch_tokenizer
from magvit2.tokenizer import TOKENIZER_PRESETS, Tokenizer, audit, tokenizer_preset
from magvit2.tokenizer.audit import clip_mflop

RIVAL = "magvit2-pytorch"
SIDES = (128, 256)
NUM_FRAMES = 17

# Encoder and decoder, MFLOP per pixel at 480x360, as published (MAGVIT-v2, section 4.3).
PAPER = {"video-128": (15.9, 21.3), "video-low-rate": (6.1, 8.0)}
PAPER_SIZE = (17, 360, 480)


def benchmark_tokenizer(
    setup: Setup,
    model: str = "default",
    dtypes: Sequence[DtypeName] = ("fp32", "bf16"),
    sides: Sequence[int] = SIDES,
    num_frames: int = NUM_FRAMES,
    num_clips: int = 1,
    with_paper: bool = False,
) -> Report:
    """Measure a preset, embedded weights or a model folder, and the rival beside it; ratios are over our row."""
    report = Report("tokenizer", describe_machine(setup))
    speeds = report.tables["speed"] = []
    for dtype in dtypes:
        for side in sides:
            case = {"dtype": dtype, "num_clips": num_clips, "size": (num_frames, side, side)}
            ours = in_fresh_process(measure_model, setup, model=model, **case)
            speeds.append({**ours, "x_encode_time": 1.0, "x_decode_time": 1.0})
            try:
                theirs = in_fresh_process(measure_rival, setup, **case)
            except NotMeasuredError as error:
                report.note(f"{RIVAL}: not measured: {error}")
                continue
            ratios = {f"x_{verb}_time": ours[f"{verb}_fps"] / theirs[f"{verb}_fps"] for verb in ("encode", "decode")}
            speeds.append({**theirs, **ratios})
    if with_paper or torch.device(setup.device).type == "cuda":
        report.tables["paper"] = [_paper_row(setup, name) for name in PAPER]
    return report


def measure_model(setup: Setup, model: str, dtype: DtypeName, num_clips: int, size: Sequence[int]) -> Row:
    """Return one row for one of our models; meant for a process of its own."""
    device = setup.start()
    tokenizer = load(model, device, dtype)
    clips = random_clips(num_clips, size, device)
    ids = tokenizer.encode(clips)
    tokenizer.decode(ids)
    peak = peak_mb(device)
    calls = {"encode": lambda: tokenizer.encode(clips), "decode": lambda: tokenizer.decode(ids)}
    work = [num_clips * mflop for mflop in clip_mflop(tokenizer.config, (size[0], size[1], size[2]))]
    return {"model": model, **_row(setup, device, dtype, clips, calls, work), "peak_mb": peak}


def measure_rival(setup: Setup, dtype: DtypeName, num_clips: int, size: Sequence[int]) -> Row:
    """Return one row for magvit2-pytorch, in bf16 under autocast; meant for a process of its own."""
    device = setup.start()
    model = magvit2_pytorch_tokenizer(size[1]).to(device)
    clips = random_clips(num_clips, size, device)

    def under_autocast(function: Any, x: torch.Tensor) -> Any:
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bf16"):
            return function(x)

    ids = under_autocast(model.tokenize, clips)
    under_autocast(model.decode_from_code_indices, ids)
    peak = peak_mb(device)
    calls = {
        "encode": lambda: under_autocast(model.tokenize, clips),
        "decode": lambda: under_autocast(model.decode_from_code_indices, ids),
    }
    work = [_counted_mflop(call) for call in calls.values()]
    return {"model": RIVAL, **_row(setup, device, dtype, clips, calls, work), "peak_mb": peak}


def load(model: str, device: torch.device, dtype: DtypeName) -> Tokenizer:
    """Return a preset with random weights, or the weights of that name or folder."""
    if model in TOKENIZER_PRESETS:
        return Tokenizer(tokenizer_preset(model)).to(device, DTYPES[dtype]).eval()
    return Tokenizer.from_pretrained(model, device=device, dtype=DTYPES[dtype])


def random_clips(num_clips: int, size: Sequence[int], device: torch.device) -> torch.Tensor:
    """Return float clips [b, 3, T, H, W] in [-1, 1], the same each time."""
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(num_clips, 3, *size, generator=generator) * 2 - 1).to(device)


def _row(
    setup: Setup, device: torch.device, dtype: DtypeName, clips: torch.Tensor, calls: dict[str, Any], work: list[float]
) -> Row:
    """Time both calls in turn with a matrix product, and relate them to it."""
    product, product_mflop = matmul(DTYPES[dtype], device)
    seconds = time_in_turn({**calls, "matmul": product}, setup.repeats, device).median_s
    ceiling = product_mflop / seconds["matmul"]
    num_clips, _, *size = clips.shape
    share = "mfu" if device.type == "cuda" else "share"
    row: Row = {"dtype": dtype, "clips": f"{num_clips} x {'x'.join(map(str, size))}"}
    for verb, mflop in zip(calls, work, strict=True):
        row[f"{verb}_fps"] = num_clips * size[0] / seconds[verb]
        row[f"{verb}_mflop_per_pixel"] = mflop / clips[:, 0].numel()
        row[f"{verb}_{share}"] = mflop / seconds[verb] / ceiling
    return {**row, "matmul_tflop_per_s": ceiling / 1e6}


def _counted_mflop(call: Any) -> float:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 1e6


def _paper_row(setup: Setup, name: str) -> Row:
    """Measure a model of the paper in its setting; its published work is that of a long clip."""
    row = in_fresh_process(measure_model, setup, model=name, dtype="bf16", num_clips=1, size=PAPER_SIZE)
    costs = audit(tokenizer_preset(name))
    for verb, counted, published in zip(("encode", "decode"), costs[-2:], PAPER[name], strict=True):
        row |= {f"{verb}_long_clip_mflop_per_pixel": counted, f"{verb}_published": published}
    return row


def main() -> None:
    """Run from `python -m`."""
    options = parser(__doc__)
    options.add_argument("model", nargs="?", default="default")
    options.add_argument("--dtype", choices=["both", *DTYPES], default="both")
    options.add_argument("--sides", type=int, nargs="+", default=SIDES)
    options.add_argument("--frames", type=int, default=NUM_FRAMES)
    options.add_argument("--batch", type=int, default=1)
    options.add_argument("--paper", action="store_true")
    given = options.parse_args()
    dtypes = dtypes_called(given.dtype)
    setup = setup_of(given)
    show(
        benchmark_tokenizer(setup, given.model, dtypes, given.sides, given.frames, given.batch, given.paper), given.json
    )


if __name__ == "__main__":
    main()
