"""Losses of language models against loops written out."""

import math

import pytest
import torch

from magvit2.losses import bits_per_token, causal_losses, masked_losses


def nats(logits: torch.Tensor, target: int, smoothing: float) -> float:
    """Cross-entropy of one prediction, written out."""
    log_p = [float(value) - math.log(sum(math.exp(float(v)) for v in logits)) for value in logits]
    share = smoothing / len(log_p)
    return -sum((share + (1 - smoothing) * (i == target)) * p for i, p in enumerate(log_p))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_masked_losses_are_those_of_a_plain_loop(smoothing: float, generator: torch.Generator) -> None:
    sizes, grid = (5, 3), (2, 1, 3)
    logits = tuple(torch.randn(2, *grid, size, generator=generator) for size in sizes)
    factors = torch.stack([torch.randint(size, (2, *grid), generator=generator) for size in sizes], dim=-1)
    weights = (torch.rand(2, *grid, 2, generator=generator) < 0.5).float()
    weights[1, ..., 1] = 0  # nothing of that factor counts
    expected = []
    for f in range(2):
        clips = []
        for b in range(2):
            places = [p for p in torch.cartesian_prod(*map(torch.arange, grid)).tolist() if weights[(b, *p, f)]]
            scores = [nats(logits[f][(b, *p)], int(factors[(b, *p, f)]), smoothing) for p in places]
            clips.append(sum(scores) / max(1, len(scores)))
        expected.append(sum(clips) / 2)
    assert masked_losses(logits, factors, weights, smoothing).tolist() == pytest.approx(expected, rel=1e-5)


def test_causal_losses_are_those_of_a_plain_loop(generator: torch.Generator) -> None:
    logits = torch.randn(2, 6, 4, generator=generator)
    targets = torch.randint(4, (2, 6), generator=generator)
    scores = [[nats(logits[b, i], int(targets[b, i]), 0.0) for i in range(6)] for b in range(2)]
    expected = [sum(scores[b][i] for b in range(2) for i in range(f, 6, 3)) / 4 for f in range(3)]
    assert causal_losses(logits, targets, 3).tolist() == pytest.approx(expected, rel=1e-5)


def test_bits_of_a_token_are_the_sum_of_its_factors() -> None:
    assert bits_per_token(torch.tensor([math.log(512), math.log(8)])).item() == pytest.approx(12)
