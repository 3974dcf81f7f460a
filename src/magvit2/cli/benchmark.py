"""The verbs benchmark ...: speed, memory and cost, each as a ratio of two things measured in one run."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from magvit2.cli.common import Json, Threads, check_at_least_one, find_device

if TYPE_CHECKING:
    from magvit2.benchmarks.measure import Setup
    from magvit2.benchmarks.report import Report

Model = Annotated[Positional[str], arg(metavar="MODEL")]
Count = Annotated[int, arg(metavar="N")]
Counts = Annotated[tuple[int, ...], arg(metavar="N ...")]
Switch = Annotated[bool, arg(help_behavior_hint="")]
Dtypes = Literal["both", "fp32", "bf16"]
Variant = Literal["again", "bf16", "fp16", "compiled", "recomputed", "parts", "processes"]
ALL_VARIANTS: tuple[Variant, ...] = ("again", "bf16", "fp16", "compiled", "recomputed", "parts", "processes")


@dataclass(frozen=True)
class BenchmarkOptions:
    """Where things are measured, and how often."""

    device: Annotated[str, arg(metavar="DEVICE")] = "cpu"
    """where it runs: cpu, cuda, cuda:1, ..."""
    threads: Threads = None
    """CPU threads."""
    repeats: Annotated[int, arg(metavar="N")] = 5
    """calls of which the median counts."""
    json: Json = False
    """print machine-readable results instead of tables."""


Options = Annotated[BenchmarkOptions, arg(name="")]


def lfq(
    tokens: Counts = (256, 1024, 4096),
    bits: Count = 18,
    dtype: Literal["fp32", "bf16"] = "fp32",
    options: Options = BenchmarkOptions(),
) -> None:
    """Measure the entropy penalty, forward and backward, beside a dense softmax and vector-quantize-pytorch's LFQ.

    Args:
        tokens: numbers of tokens to measure.
        bits: bits of a token.
        dtype: type of the latents.
        options: where things are measured, and how often.
    """
    from magvit2.benchmarks.lfq import benchmark_lfq

    _check("--tokens", *tokens)
    _check("--bits", bits)
    _show(benchmark_lfq(_setup(options), tokens, bits, dtype), options)


def tokenizer(
    model: Model = "default",
    frames: Count = 17,
    sides: Counts = (128, 256),
    batch: Count = 1,
    dtype: Dtypes = "both",
    paper: Switch = False,
    options: Options = BenchmarkOptions(),
) -> None:
    """Measure encode and decode: frames per second, share of the machine's matmul ceiling, MFLOP per pixel, memory.

    Args:
        model: preset (with random weights), embedded name, model folder or hub id.
        frames: frames of a clip.
        sides: rows and columns of a clip.
        batch: clips at once.
        dtype: type of the arithmetic, or both one after the other.
        paper: measure the paper's models at 480x360 too, as on every GPU.
        options: where things are measured, and how often.
    """
    from magvit2.benchmarks.measure import dtypes_called
    from magvit2.benchmarks.tokenizer import benchmark_tokenizer

    _check("--frames", frames)
    _check("--sides", *sides)
    _check("--batch", batch)
    _show(benchmark_tokenizer(_setup(options), model, dtypes_called(dtype), sides, frames, batch, paper), options)


def streaming(
    model: Model = "default",
    frames: Counts = (33, 1025),
    side: Count = 128,
    dtype: Dtypes = "both",
    options: Options = BenchmarkOptions(),
) -> None:
    """Measure streams against whole clips: speed, equality, latency in frames, and memory at growing lengths.

    Args:
        model: preset (with random weights), embedded name, model folder or hub id.
        frames: numbers of frames to measure the memory at; the first one's clip is measured for speed, too.
        side: rows and columns of a frame.
        dtype: type of the arithmetic, or both one after the other.
        options: where things are measured, and how often.
    """
    from magvit2.benchmarks.measure import dtypes_called
    from magvit2.benchmarks.streaming import benchmark_streaming

    _check("--frames", *frames)
    _check("--side", side)
    _show(benchmark_streaming(_setup(options), model, dtypes_called(dtype), frames, side), options)


def tiling(
    model: Model = "default",
    tiles: Counts = (128, 256),
    side: Count = 512,
    frames: Count = 1,
    dtype: Dtypes = "both",
    options: Options = BenchmarkOptions(),
) -> None:
    """Measure frames in tiles against whole frames: ids and pixels that differ, near seams and elsewhere, time, memory.

    Args:
        model: preset (with random weights), embedded name, model folder or hub id.
        tiles: pixels a side of a tile.
        side: rows and columns of a frame.
        frames: frames of a clip.
        dtype: type of the arithmetic, or both one after the other.
        options: where things are measured, and how often.
    """
    from magvit2.benchmarks.measure import dtypes_called
    from magvit2.benchmarks.tiling import benchmark_tiling

    _check("--tiles", *tiles)
    _check("--side", side)
    _check("--frames", frames)
    _show(benchmark_tiling(_setup(options), model, dtypes_called(dtype), tiles, side, frames), options)


def training(
    variants: Annotated[tuple[Variant, ...], arg(metavar="NAME ...")] = ALL_VARIANTS,
    steps: Count = 20,
    options: Options = BenchmarkOptions(repeats=1),
) -> None:
    """Measure a short training in float32 and what each way to run it otherwise changes: losses, weights, seconds.

    Args:
        variants: ways to run it: again (the same), bf16 or fp16, compiled, recomputed (activations), a batch in two
            parts, or in two processes.
        steps: steps of each training.
        options: where things are measured, and how often.
    """
    from magvit2.benchmarks.training import benchmark_training

    _check("--steps", steps)
    _show(benchmark_training(_setup(options), variants, steps), options)


def sampling(
    model: Model = "default",
    batches: Counts = (1, 8),
    latents: Count = 1,
    steps: Count = 12,
    dtype: Literal["fp32", "bf16"] = "fp32",
    options: Options = BenchmarkOptions(),
) -> None:
    """Measure language models of random weights: causal ones beside transformers, and masked ones, a second.

    Args:
        model: whose size they have: default, or a preset such as mlm-2x9, mlm-video, ar-18.
        batches: numbers of samples at once.
        latents: latents that a causal model writes, each of as many tokens as the preset's grid has.
        steps: steps of masked sampling, over the whole grid.
        dtype: type of the arithmetic.
        options: where things are measured, and how often.
    """
    from magvit2.benchmarks.sampling import benchmark_sampling

    _check("--batches", *batches)
    _check("--latents", latents)
    _check("--steps", steps)
    _show(benchmark_sampling(_setup(options), model, dtype, batches, latents, steps), options)


def _setup(options: BenchmarkOptions) -> "Setup":
    from magvit2.benchmarks.measure import Setup

    _check("--threads", options.threads)
    _check("--repeats", options.repeats)
    find_device(options.device)
    return Setup(options.device, options.threads, options.repeats)


def _check(option: str, *values: int | None) -> None:
    for value in values:
        check_at_least_one(option, value)


def _show(report: "Report", options: BenchmarkOptions) -> None:
    from magvit2.benchmarks.report import show

    show(report, options.json)
