"""One short training in float32, and what every way to run it faster or smaller changes: losses, weights, seconds.

    magvit2 benchmark training
    python -m magvit2.benchmarks.training --device cuda --variants bf16 fp16 compiled

The training is a tiny tokenizer's, adversary, R1, LeCAM and entropy included, on synthetic clips in memory. A variant
changes one setting and runs in a process of its own, or in two. Differences are relative to the training in float32
(never TF32), of which `again` is a second run: what differs there is the machine's noise. Weights are compared tensor
by tensor, each by its largest difference over its largest value.
"""

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from magvit2.adversarial import AdversarialWeights, DiscriminatorConfig
from magvit2.benchmarks.measure import NotMeasuredError, Setup, in_fresh_process, wait_for
from magvit2.benchmarks.report import Report, Row, describe_machine, parser, setup_of, show
from magvit2.data.batches import Batch, BatchSpec
from magvit2.losses import LossWeights
from magvit2.store import read_tensors, write_tensors
from magvit2.tokenizer import Tokenizer, tokenizer_preset
from magvit2.training import OptimizerConfig, TokenizerTraining
from magvit2.training.checkpoint import TrainingState
from magvit2.training.distributed import joined, rank, world_size
from magvit2.training.objective import make_objective
from magvit2.training.step import train_step
from magvit2.training.tokenizer import start

REFERENCE = "fp32"
NUM_STEPS = 20

Variant = Literal["again", "bf16", "fp16", "compiled", "recomputed", "parts", "processes"]
"""A second run; two types of arithmetic; torch.compile; activations computed again; a batch in two parts; two halves of
it in two processes."""

VARIANTS: tuple[Variant, ...] = get_args(Variant)

_LOSSES = ("loss", "judge_loss")
_CALM = OptimizerConfig(lr=1e-4, warmup_steps=0)  # forgetful moments, a low rate: rounding hardly grows with the steps
_RECIPE = TokenizerTraining(
    model=dataclasses.replace(tokenizer_preset("tiny"), base_channels=8, num_bits=10),
    batches=(BatchSpec("video", batch_size=4, num_frames=5, size=32),),
    num_steps=NUM_STEPS,
    loss=LossWeights(temperature=1.0, entropy=0.01, commitment=0.02),
    adversarial=AdversarialWeights(r1_every=4),
    discriminator=DiscriminatorConfig(base_channels=8, channel_multipliers=(1, 2, 2), head="pool"),
    optimizer=_CALM,
    discriminator_optimizer=_CALM,
    precision="fp32",
)


class _Way(NamedTuple):
    """Settings that a variant changes, and how many processes share its batches."""

    changes: dict[str, Any]
    num_processes: int = 1


_WAYS: dict[str, _Way] = {
    REFERENCE: _Way({}),
    "again": _Way({}),
    "bf16": _Way({"precision": "bf16"}),
    "fp16": _Way({"precision": "fp16"}),
    "compiled": _Way({"compile": True}),
    "recomputed": _Way({"checkpoint_activations": True}),
    "parts": _Way({"num_parts": 2}),
    "processes": _Way({}, num_processes=2),
}


def benchmark_training(setup: Setup, variants: Sequence[Variant] = VARIANTS, num_steps: int = NUM_STEPS) -> Report:
    """Measure the variants beside the training in float32; each is run `setup.repeats` times, in turn."""
    report = Report("training", describe_machine(setup) | {"steps": num_steps})
    seconds: dict[str, list[float]] = {name: [] for name in (REFERENCE, *variants)}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(setup.repeats):
            for name in tuple(seconds):
                try:
                    seconds[name].append(_measure(setup, name, num_steps, Path(folder) / name))
                except NotMeasuredError as error:
                    if name == REFERENCE:
                        raise
                    report.note(f"{name}: not measured: {error}")
                    del seconds[name]
        reference = read_tensors(Path(folder) / REFERENCE)
        report.tables["differences"] = [
            {"variant": name, **_differences(read_tensors(Path(folder) / name), reference)} for name in seconds
        ]
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for row in report.tables["differences"]:
        row["step_ms"] = medians[row["variant"]] * 1e3
        row["x_time"] = medians[row["variant"]] / medians[REFERENCE]
    return report


def _measure(setup: Setup, name: str, num_steps: int, target: Path) -> float:
    """Run a variant in processes of its own and return its seconds a step; losses and weights are in `target` then."""
    num_processes = _WAYS[name].num_processes
    is_cuda = torch.device(setup.device).type == "cuda"
    if is_cuda and torch.cuda.device_count() < num_processes:
        raise NotMeasuredError(f"it takes {num_processes} GPUs; here there is {torch.cuda.device_count()}")
    setup = dataclasses.replace(setup, num_processes=num_processes)
    row = in_fresh_process(measure_training, setup, variant=name, num_steps=num_steps, target=str(target))
    step_s: float = row["step_s"]
    return step_s


def measure_training(setup: Setup, variant: str, num_steps: int, target: str) -> Row:
    """Train, write losses and weights to `target` and return the seconds a step; meant for processes of their own.

    The first half of the steps, in which things are compiled and chosen, is not timed.
    """
    if setup.start().type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    config = dataclasses.replace(_RECIPE, num_steps=num_steps, **_WAYS[variant].changes)
    with joined(setup.device) as device:
        state, seconds, losses = start(config, device), list[float](), list[list[float]]()
        objective = make_objective(config, None, device)
        for step in range(num_steps):
            batch = _batch(step, config.batches[0])
            begin = _now(state)
            report = train_step(step, batch, state, objective)
            seconds.append(_now(state) - begin)
            if report.problem:
                raise NotMeasuredError(f"step {step}: {report.problem}")
            losses.append([report.values[name] for name in _LOSSES])
        if rank() == 0:
            sides = nn.ModuleDict({"model": state.model, "adversaries": state.adversaries})
            weights = {name: parameter.detach() for name, parameter in sides.named_parameters()}
            write_tensors(Path(target), {"losses": torch.tensor(losses), **weights})
    return {"step_s": statistics.median(seconds[num_steps // 2 :])}


def _now(state: TrainingState[Tokenizer]) -> float:
    wait_for(state.model.device)
    return time.perf_counter()


def _batch(step: int, spec: BatchSpec) -> Batch:
    """Return this process's share of the clips of a step: smooth noise that moves."""
    generator = torch.Generator().manual_seed(step)
    coarse = torch.rand(spec.batch_size, 3, 3, 6, 6, generator=generator)
    clips = functional.interpolate(coarse, (spec.num_frames, spec.size, spec.size), mode="trilinear")
    return Batch((clips * 255).byte().chunk(world_size())[rank()], spec.kind)


def _differences(found: dict[str, Tensor], reference: dict[str, Tensor]) -> Row:
    """Return the largest relative differences in losses over the steps, and of the final weights."""
    losses, expected = found["losses"], reference["losses"]
    weights = [
        ((found[name] - value).abs().max() / value.abs().max().clamp_min(torch.finfo(value.dtype).tiny)).item()
        for name, value in reference.items()
        if name != "losses"
    ]
    return {"losses": ((losses - expected) / expected).abs().max().item(), "weights": max(weights)}


def main() -> None:
    """Run from `python -m`."""
    options = parser(__doc__)
    options.set_defaults(repeats=1)
    options.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    options.add_argument("--steps", type=int, default=NUM_STEPS)
    given = options.parse_args()
    show(benchmark_training(setup_of(given), given.variants, given.steps), given.json)


if __name__ == "__main__":
    main()
