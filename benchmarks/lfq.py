"""The LFQ entropy penalty at 2^18, forward and backward: ours, a dense softmax, and vector-quantize-pytorch's LFQ.

python -m benchmarks.lfq              vector-quantize-pytorch takes part where it is installed
"""

import json
import sys
from collections.abc import Callable

import torch

from benchmarks.measure import Measured, in_fresh_process, measured
from magvit2 import lfq_entropy

NUM_BITS = 18
CONTENDERS = {"magvit2": (256, 1024, 4096), "dense softmax": (256, 1024), "vector-quantize-pytorch": (256, 1024)}


def main() -> None:
    """Measure every contender in a process of its own and print the table."""
    print(f"threads: {torch.get_num_threads()}; median of 5 calls, forward + backward; memory is growth of the peak")
    print(f"{'':26}{'tokens':>8}{'ms':>12}{'MB':>10}{'x magvit2 time':>16}{'x memory':>10}")
    ours: dict[int, Measured] = {}
    for name, sizes in CONTENDERS.items():
        for num_tokens in sizes:
            result = in_fresh_process("benchmarks.lfq", name, num_tokens)
            if result is None:
                print(f"{name:26}{num_tokens:8}   not measured: not installed, or out of memory")
                continue
            base = ours.setdefault(num_tokens, result)
            ratios = f"{result.median_s / base.median_s:16.1f}{result.peak_mb / max(base.peak_mb, 1):10.1f}"
            print(f"{name:26}{num_tokens:8}{result.median_s * 1e3:12.1f}{result.peak_mb:10.0f}{ratios}")


def ours(latents: torch.Tensor) -> None:
    """The product's entropy penalty."""
    sample, batch = lfq_entropy(latents)
    (sample - batch).backward()


def dense(latents: torch.Tensor) -> None:
    """The definition: a softmax over all codes for every token."""
    ids = torch.arange(2**NUM_BITS)
    codes = (((ids[:, None] >> torch.arange(NUM_BITS)) & 1) * 2 - 1).float()
    log_p = torch.log_softmax(2 * latents @ codes.T / 0.01, dim=-1)
    p = log_p.exp()
    mean = p.mean(dim=0)
    (-(p * log_p).sum(dim=-1).mean() + (mean * mean.clamp_min(1e-30).log()).sum()).backward()


def rival() -> Callable[[torch.Tensor], None]:
    """vector-quantize-pytorch's LFQ in training mode, its own defaults."""
    from vector_quantize_pytorch import LFQ

    quantizer = LFQ(dim=NUM_BITS, codebook_size=2**NUM_BITS, entropy_loss_weight=0.1).train()
    return lambda latents: quantizer(latents[None])[2].backward()


def worker(name: str, num_tokens: int) -> None:
    """Measure one contender in this process and print the result."""
    torch.manual_seed(0)
    latents = torch.randn(num_tokens, NUM_BITS, requires_grad=True)
    call = {"magvit2": lambda: ours, "dense softmax": lambda: dense, "vector-quantize-pytorch": rival}[name]()
    print(json.dumps(measured(lambda: call(latents), 5 if name == "magvit2" else 2)._asdict()))


if __name__ == "__main__":
    worker(sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 1 else main()
