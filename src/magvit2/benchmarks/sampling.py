"""Sampling: tokens a second of a causal model beside transformers on the same weights, steps a second of a masked one.

    magvit2 benchmark sampling
    python -m magvit2.benchmarks.sampling ar-18 --device cuda --dtype bf16

Weights are random. The causal model has `llama` blocks of the model's size, and is exported for transformers, which
draws as many tokens from the whole vocabulary, without filters; ours draws each from the values of its factor. The
ceiling is a square matrix product of the same type, timed in turn with the calls; work is that of the forward passes,
counted in the middle of a sequence.
"""

import dataclasses
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from magvit2.benchmarks.measure import (
    DTYPES,
    DtypeName,
    NotMeasuredError,
    Setup,
    in_fresh_process,
    matmul,
    peak_mb,
    time_in_turn,
)
from magvit2.benchmarks.report import Report, Row, describe_machine, parser, setup_of, show
from magvit2.benchmarks.rivals import transformers_generate
from magvit2.geometry import Size
from magvit2.interop import export_llama
from magvit2.lm import CausalLM, CausalLMConfig, LMConfig, MaskedLM, MaskedLMConfig, lm_preset
from magvit2.sampling import sample_causal, sample_masked

OURS, RIVAL = "magvit2", "transformers"
DEFAULT = "default"
BATCHES = (1, 8)
NUM_STEPS = 12
GOAL = 1.5  # tokens a second of ours over those of transformers, on a CPU


def benchmark_sampling(
    setup: Setup,
    model: str = DEFAULT,
    dtype: DtypeName = "fp32",
    batches: Sequence[int] = BATCHES,
    num_latents: int = 1,
    num_steps: int = NUM_STEPS,
) -> Report:
    """Measure both samplers at a preset's size: causal on the first `num_latents` of its grid, masked on all of it.

    Raises ConfigError for a model that is no preset, InputError for more latents than its grid has.
    """
    configs_of(model)[0].check_grid(_grid(model, num_latents))
    report = Report("sampling", describe_machine(setup), {"causal": [], "masked": []})
    case: dict[str, Any] = {"model": model, "dtype": dtype}
    for batch in batches:
        found = in_fresh_process(measure_causal, setup, batch=batch, num_latents=num_latents, **case)
        report.tables["causal"] += found["rows"]
        report.note(found["note"])
    report.tables["masked"].append(in_fresh_process(measure_masked, setup, num_steps=num_steps, **case))
    return report


def configs_of(model: str) -> tuple[CausalLMConfig, MaskedLMConfig]:
    """Return causal and masked models of a preset's size ("default": 192 wide, 6 deep, 2 x 2^9). Raises ConfigError."""
    preset = LMConfig() if model == DEFAULT else lm_preset(model)
    common = {field.name: getattr(preset, field.name) for field in dataclasses.fields(LMConfig)}
    llama = dataclasses.replace(preset.transformer, style="llama")
    return CausalLMConfig(**common | {"transformer": llama}), MaskedLMConfig(**common)


def measure_causal(setup: Setup, model: str, dtype: DtypeName, batch: int, num_latents: int) -> dict[str, Any]:
    """Return a row of ours and one of transformers, called in turn, and a note; meant for a process of its own."""
    device, grid = setup.start(), _grid(model, num_latents)
    torch.manual_seed(0)
    lm = CausalLM(configs_of(model)[0]).to(device, DTYPES[dtype]).eval().requires_grad_(False)
    num_tokens = math.prod(grid) * lm.config.num_factors
    product, product_mflop = matmul(DTYPES[dtype], device)
    calls: dict[str, Callable[[], object]] = {OURS: lambda: sample_causal(lm, grid, num_samples=batch)}
    note = ""
    try:
        generate = _exported(lm, device, DTYPES[dtype])
        calls[RIVAL] = lambda: generate(batch, num_tokens)
    except NotMeasuredError as error:
        note = f"{RIVAL}: not measured: {error}"
    timing = time_in_turn({**calls, "matmul": product}, setup.repeats, device).median_s
    mflop, ceiling = num_tokens * _token_mflop(lm, batch, num_tokens), product_mflop / timing["matmul"]
    rows = []
    for name in calls:
        row: Row = {"contender": name, "model": model, "dtype": dtype, "batch": batch, "tokens": num_tokens}
        row |= {"tokens_per_s": batch * num_tokens / timing[name], "x_time": timing[name] / timing[OURS]}
        rows.append({**row, _share(device): mflop / timing[name] / ceiling})
    if RIVAL in calls:
        note = (
            f"batch {batch}: {rows[1]['x_time']:.2f} times as many tokens a second as {RIVAL}; "
            f"the goal is {GOAL} on a CPU"
        )
    return {"rows": rows, "note": note}


def measure_masked(setup: Setup, model: str, dtype: DtypeName, num_steps: int) -> Row:
    """Return a row of masked sampling of one clip on the model's whole grid; meant for a process of its own."""
    device = setup.start()
    torch.manual_seed(0)
    lm = MaskedLM(configs_of(model)[1]).to(device, DTYPES[dtype]).eval().requires_grad_(False)
    grid = lm.config.grid
    product, product_mflop = matmul(DTYPES[dtype], device)
    calls = {"sample": lambda: sample_masked(lm, grid, num_steps=num_steps), "matmul": product}
    timing = time_in_turn(calls, setup.repeats, device).median_s
    factors = lm.mask_values().expand(1, *grid, -1)
    labels = torch.full((1,), lm.config.num_classes, device=device)
    mflop = num_steps * _mflop(lambda: lm(factors, labels))
    return {
        "model": model,
        "dtype": dtype,
        "clip": "x".join(map(str, lm.config.space.size_for(grid))),
        "grid": "x".join(map(str, grid)),
        "steps": num_steps,
        "steps_per_s": num_steps / timing["sample"],
        "clip_s": timing["sample"],
        _share(device): mflop / timing["sample"] / (product_mflop / timing["matmul"]),
        "peak_mb": peak_mb(device),
    }


def _grid(model: str, num_latents: int) -> Size:
    _, height, width = configs_of(model)[0].grid
    return num_latents, height, width


def _share(device: torch.device) -> str:
    return "mfu" if device.type == "cuda" else "share"


def _exported(lm: CausalLM, device: torch.device, dtype: torch.dtype) -> Callable[[int, int], torch.Tensor]:
    with tempfile.TemporaryDirectory() as folder:
        export_llama(lm, Path(folder) / "llama")
        return transformers_generate(str(Path(folder) / "llama"), device, dtype)


def _token_mflop(lm: CausalLM, batch: int, num_tokens: int) -> float:
    """Return the work of the token in the middle of a sequence."""
    cache = lm.new_cache(batch, num_tokens)
    tokens = torch.zeros(batch, num_tokens // 2, dtype=torch.int64, device=lm.device)
    lm.hidden(tokens, cache)
    return _mflop(lambda: lm.factor_logits(lm.hidden(tokens[:, :1], cache), 0))


def _mflop(call: Callable[[], object]) -> float:
    # Fused attention on a CPU is not counted.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 1e6


def main() -> None:
    """Run from `python -m`."""
    options = parser(__doc__)
    options.add_argument("model", nargs="?", default=DEFAULT)
    options.add_argument("--dtype", choices=list(DTYPES), default="fp32")
    options.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    options.add_argument("--latents", type=int, default=1)
    options.add_argument("--steps", type=int, default=NUM_STEPS)
    given = options.parse_args()
    made = benchmark_sampling(setup_of(given), given.model, given.dtype, given.batches, given.latents, given.steps)
    show(made, given.json)


if __name__ == "__main__":
    main()
