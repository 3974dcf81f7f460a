"""The entropy penalty of 2^18 codes, forward and backward: ours, its definition, and vector-quantize-pytorch's LFQ.

    magvit2 benchmark lfq
    python -m magvit2.benchmarks.lfq --device cuda --tokens 1024 4096

Extra memory is what the peak grows by, in a process of its own for every number; nobody's process is tuned
(`magvit2.runtime`). Exactness is the largest difference from a float64 softmax over all codes.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from magvit2.benchmarks.measure import (
    DTYPES,
    DtypeName,
    NotMeasuredError,
    Setup,
    free_mb,
    in_fresh_process,
    peak_mb,
    time_in_turn,
)
from magvit2.benchmarks.report import Report, describe_machine, parser, setup_of, show
from magvit2.benchmarks.rivals import vector_quantize_loss
from magvit2.quantizers import lfq_entropy

OURS, DENSE, RIVAL = "magvit2", "dense softmax", "vector-quantize-pytorch"
TOKENS = (256, 1024, 4096)
TEMPERATURE = 0.01

_COPIES = {OURS: 0, DENSE: 6, RIVAL: 8}  # of a table of tokens x codes in float32 that are held at once, at most
_BUDGET_S = 30.0
_EXACT_TOKENS = 8


def benchmark_lfq(
    setup: Setup, num_tokens: Sequence[int] = TOKENS, num_bits: int = 18, dtype: DtypeName = "fp32"
) -> Report:
    """Measure every contender at every number of tokens; ratios are over ours at the same number."""
    report = Report("lfq", describe_machine(setup))
    costs = report.tables["cost"] = []
    for count in num_tokens:
        for name in _COPIES:
            try:
                row = in_fresh_process(
                    measure_contender, setup, name=name, num_tokens=count, num_bits=num_bits, dtype=dtype
                )
            except NotMeasuredError as error:
                if name == OURS:
                    raise
                report.note(f"{name}: not measured: {error}")
                continue
            ours = row if name == OURS else next(r for r in costs if r["tokens"] == count)
            row["x_time"] = row["median_ms"] / ours["median_ms"]
            row["x_memory"] = row["extra_mb"] / ours["extra_mb"]
            costs.append(row)
    report.tables["exactness"] = in_fresh_process(measure_exactness, setup, num_bits=num_bits)["rows"]
    return report


def measure_contender(setup: Setup, name: str, num_tokens: int, num_bits: int, dtype: DtypeName) -> dict[str, Any]:
    """Return time and extra memory of one contender; meant for a process of its own."""
    device = torch.device(setup.device)
    if setup.threads:
        torch.set_num_threads(setup.threads)
    _check_memory(name, num_tokens, num_bits, device)
    penalty = _penalty(name, num_bits)
    torch.manual_seed(0)
    latents = torch.randn(num_tokens, num_bits, device=device).to(DTYPES[dtype]).requires_grad_()
    before = peak_mb(device)
    timing = time_in_turn({name: lambda: penalty(latents).backward()}, setup.repeats, device, _BUDGET_S)
    return {
        "contender": name,
        "tokens": num_tokens,
        "bits": num_bits,
        "median_ms": timing.median_s[name] * 1e3,
        "extra_mb": max(peak_mb(device) - before, 0.1),
        "repeats": timing.num_repeats,
    }


def measure_exactness(setup: Setup, num_bits: int) -> dict[str, Any]:
    """Return how far ours is from the definition in float64, for both terms and the gradient of the penalty."""
    device = torch.device(setup.device)
    generator = torch.Generator().manual_seed(0)
    # Of the temperature's own scale: larger latents have entropies of 0.
    latents = TEMPERATURE * torch.randn(_EXACT_TOKENS, num_bits, generator=generator, dtype=torch.float64)
    rows = []
    for name, dtype in (("float32", torch.float32), ("float64", torch.float64)):
        given = latents.to(device, dtype)
        expected = _terms_and_gradient(dense_entropy, given.double())
        found = _terms_and_gradient(lfq_entropy, given)
        errors = [(a.double() - b).abs().max().item() for a, b in zip(found, expected, strict=True)]
        row = dict(zip(("sample_error", "batch_error", "gradient_error"), errors, strict=True))
        rows.append({"computed_in": name, "tokens": _EXACT_TOKENS, **row})
    return {"rows": rows}


def dense_entropy(latents: Float[Tensor, "n k"]) -> tuple[Tensor, Tensor]:
    """Return both entropies by their definition: a softmax over all 2^k codes for every position."""
    num_bits = latents.shape[1]
    latents = latents.to(torch.promote_types(latents.dtype, torch.float32))
    ids = torch.arange(2**num_bits, device=latents.device)
    codes = ((ids[:, None] >> torch.arange(num_bits, device=latents.device)) & 1) * 2 - 1
    log_p = torch.log_softmax(2 * latents @ codes.T.to(latents.dtype) / TEMPERATURE, dim=-1)
    p = log_p.exp()
    mean = p.mean(dim=0)
    tiny = torch.finfo(mean.dtype).tiny
    return -(p * log_p).sum(dim=-1).mean(), -(mean * mean.clamp_min(tiny).log()).sum()


def _penalty(name: str, num_bits: int) -> Callable[[Tensor], Tensor]:
    if name == RIVAL:
        return vector_quantize_loss(num_bits)
    entropy = lfq_entropy if name == OURS else dense_entropy
    return lambda latents: operator.sub(*entropy(latents))


def _check_memory(name: str, num_tokens: int, num_bits: int, device: torch.device) -> None:
    """Raise NotMeasuredError where the tables of a contender would not fit, rather than have the machine swap."""
    needed, free = _COPIES[name] * num_tokens * 2**num_bits * 4 / 2**20, free_mb(device)
    if needed > free:
        gigabytes = f"up to {needed / 1024:.0f} GB, and {free / 1024:.0f} GB are free"
        raise NotMeasuredError(f"{num_tokens} tokens need {gigabytes}")


def _terms_and_gradient(entropy: Callable[[Tensor], tuple[Tensor, Tensor]], latents: Tensor) -> list[Tensor]:
    latents = latents.clone().requires_grad_()
    sample, batch = entropy(latents)
    return [sample.detach(), batch.detach(), *torch.autograd.grad(sample - batch, latents)]


def main() -> None:
    """Run from `python -m`."""
    options = parser(__doc__)
    options.add_argument("--tokens", type=int, nargs="+", default=TOKENS)
    options.add_argument("--bits", type=int, default=18)
    options.add_argument("--dtype", choices=list(DTYPES), default="fp32")
    given = options.parse_args()
    show(benchmark_lfq(setup_of(given), given.tokens, given.bits, given.dtype), given.json)


if __name__ == "__main__":
    main()
