"""The entropy penalty against the sum over the whole codebook that it stands for, values and gradients."""

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

from magvit2.errors import InputError
from magvit2.quantizers import lfq_entropy
from magvit2.quantizers.entropy import default_num_groups

Pair = tuple[Tensor, Tensor]


def dense_entropy(latents: Tensor, temperature: float) -> Pair:
    """Equation 5 by brute force: a softmax over all 2^k codes for every position, log-probabilities and all."""
    codes = torch.tensor(list(product([-1.0, 1.0], repeat=latents.shape[-1])), dtype=latents.dtype)
    distances = (latents[:, None] - codes).square().sum(dim=-1)
    log_p = torch.log_softmax(-distances / temperature, dim=-1)
    sample = -(log_p.exp() * log_p).sum(dim=-1).mean()
    log_mean = torch.logsumexp(log_p, dim=0) - math.log(len(latents))
    return sample, -(log_mean.exp() * log_mean).sum()


def grouped_batch_entropy(latents: Tensor, temperature: float, num_groups: int) -> float:
    """The authors' grouped batch term with loops: joint tables of consecutive and of interleaved groups, averaged."""
    num_bits = latents.shape[-1]
    ones = torch.sigmoid(4 * latents / temperature).tolist()
    size = num_bits // num_groups
    runs = [list(range(g * size, (g + 1) * size)) for g in range(num_groups)]
    combs = [list(range(g, num_bits, num_groups)) for g in range(num_groups)]
    means = []
    for grouping in (runs, combs):
        entropies = []
        for bits in grouping:
            entropy = 0.0
            for values in product([0, 1], repeat=len(bits)):
                p = [math.prod(row[b] if v else 1 - row[b] for b, v in zip(bits, values, strict=True)) for row in ones]
                mean = sum(p) / len(p)
                entropy -= mean * math.log(mean) if mean > 0 else 0
            entropies.append(entropy)
        means.append(sum(entropies) / num_groups)
    return sum(means) / 2


def values_and_gradients(entropy: Callable[[Tensor], Pair], latents: Tensor) -> tuple[Pair, Pair]:
    latents = latents.clone().requires_grad_()
    sample, batch = entropy(latents)
    gradients = [torch.autograd.grad(term, latents, retain_graph=True)[0] for term in (sample, batch)]
    return (sample.detach(), batch.detach()), (gradients[0], gradients[1])


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("num_bits", range(1, 11))
def test_entropy_equals_its_brute_force_twin(num_bits: int, temperature: float, generator: torch.Generator) -> None:
    # Latents about as large as the temperature: neither saturated nor flat, so every term has weight.
    latents = torch.randn(16, num_bits, generator=generator, dtype=torch.float64) * temperature
    ours = values_and_gradients(lambda z: tuple(lfq_entropy(z, temperature)), latents)
    twin = values_and_gradients(lambda z: dense_entropy(z, temperature), latents)
    torch.testing.assert_close(ours, twin, rtol=1e-9, atol=1e-11)
    assert ours[0][0] > 0 and ours[0][1] > ours[0][0]  # the entropy of a mean exceeds the mean of entropies


def test_entropy_of_unit_latents_at_the_paper_s_temperature_equals_the_twin(generator: torch.Generator) -> None:
    latents = torch.randn(64, 8, generator=generator, dtype=torch.float64)
    ours = values_and_gradients(lambda z: tuple(lfq_entropy(z)), latents)
    torch.testing.assert_close(
        ours, values_and_gradients(lambda z: dense_entropy(z, 0.01), latents), rtol=1e-8, atol=1e-11
    )


def test_entropy_of_eighteen_bits_is_exact_in_one_table(generator: torch.Generator) -> None:
    # Independent bits, the same at every position: both terms are sums of binary entropies.
    latents = torch.randn(18, generator=generator, dtype=torch.float64).expand(5, 18)
    p = torch.sigmoid(4 * latents[0])
    expected = -(p * p.log() + (1 - p) * (1 - p).log()).sum()
    terms = lfq_entropy(latents, temperature=1.0)
    torch.testing.assert_close(torch.stack(terms), torch.stack([expected, expected]))


def test_the_batch_term_sees_bits_that_depend_on_each_other() -> None:
    # All bits equal: two codes in use, although every single bit is balanced.
    latents = torch.cat([torch.ones(4, 18), -torch.ones(4, 18)])
    sample, batch = lfq_entropy(latents)
    assert sample.item() == pytest.approx(0, abs=1e-6)
    assert batch.item() == pytest.approx(math.log(2), rel=1e-6)


def test_positions_may_have_any_shape(generator: torch.Generator) -> None:
    latents = torch.randn(2, 3, 4, 5, 7, generator=generator)
    torch.testing.assert_close(lfq_entropy(latents, 1.0), lfq_entropy(latents.reshape(-1, 7), 1.0))


def test_confident_float32_latents_keep_their_small_entropy() -> None:
    # The entropy of a rare bit is about its probability times its logit: 21 e^-20 here, for either sign.
    for sign in (1.0, -1.0):
        sample = lfq_entropy(torch.tensor([[sign * 5.0]]), temperature=1.0).sample
        assert sample.item() == pytest.approx(21 * math.exp(-20), rel=1e-5)


def test_float32_equals_float64(generator: torch.Generator) -> None:
    latents = torch.randn(64, 18, generator=generator)
    for temperature in (0.01, 1.0):
        exact = lfq_entropy(latents.double(), temperature)
        torch.testing.assert_close(torch.stack(lfq_entropy(latents, temperature)), torch.stack(exact).float())


def test_autocast_does_not_reach_the_entropy(generator: torch.Generator) -> None:
    def under_autocast(latents: Tensor) -> Pair:
        with torch.autocast("cpu", torch.bfloat16):
            assert (latents @ latents.T).dtype == torch.bfloat16  # autocast is at work
            return tuple(lfq_entropy(latents))

    latents = torch.randn(64, 12, generator=generator)
    island = values_and_gradients(under_autocast, latents)
    plain = values_and_gradients(lambda z: tuple(lfq_entropy(z)), latents)
    assert all(term.dtype == torch.float32 for term in island[0])
    torch.testing.assert_close(island, plain, rtol=0, atol=0)


def test_bfloat16_latents_are_computed_in_float32(generator: torch.Generator) -> None:
    latents = torch.randn(64, 12, generator=generator).bfloat16().requires_grad_()
    terms = lfq_entropy(latents, 1.0)
    torch.testing.assert_close(terms, lfq_entropy(latents.float(), 1.0), rtol=0, atol=0)
    assert terms.sample.dtype == torch.float32
    (terms.sample - terms.batch).backward()
    assert latents.grad.dtype == torch.bfloat16 and latents.grad.abs().sum() > 0


@pytest.mark.parametrize("num_bits", [5, 18, 40])
@pytest.mark.parametrize("scale", [10.0, 1e4, 1e30])
def test_saturated_latents_give_finite_values_and_gradients(
    num_bits: int, scale: float, generator: torch.Generator
) -> None:
    latents = scale * torch.randn(32, num_bits, generator=generator).sign()
    values, gradients = values_and_gradients(lambda z: tuple(lfq_entropy(z)), latents)
    assert all(torch.isfinite(x).all() for x in (*values, *gradients))
    assert values[0].item() == 0 and values[1].item() > 0


def test_eighteen_bits_are_one_group_and_more_are_groups_of_about_eight() -> None:
    assert [default_num_groups(bits) for bits in (1, 18, 19, 24, 32, 40)] == [1, 1, 3, 3, 4, 5]


@pytest.mark.parametrize(("num_bits", "num_groups"), [(8, 2), (12, 3), (12, 4), (20, 5), (6, 6)])
def test_grouped_batch_entropy_averages_consecutive_and_interleaved_groups(
    num_bits: int, num_groups: int, generator: torch.Generator
) -> None:
    latents = torch.randn(6, num_bits, generator=generator, dtype=torch.float64)
    terms = lfq_entropy(latents, 2.0, num_groups)
    assert terms.batch.item() == pytest.approx(grouped_batch_entropy(latents, 2.0, num_groups), rel=1e-9)
    torch.testing.assert_close(terms.sample, lfq_entropy(latents, 2.0, 1).sample)  # grouping leaves it alone


def test_twenty_four_bits_are_grouped_as_the_authors_do(generator: torch.Generator) -> None:
    latents = torch.randn(3, 24, generator=generator, dtype=torch.float64)
    assert lfq_entropy(latents, 2.0).batch.item() == pytest.approx(grouped_batch_entropy(latents, 2.0, 3), rel=1e-9)


def test_groups_of_unequal_size_cover_every_bit_once(generator: torch.Generator) -> None:
    # Independent bits, the same everywhere: the sum over any grouping is the sum of all bits' entropies.
    latents = torch.randn(19, generator=generator, dtype=torch.float64).expand(4, 19)
    for num_groups in (2, 3, 4, 7, 19):
        terms = lfq_entropy(latents, 1.0, num_groups, group_reduction="sum")
        torch.testing.assert_close(terms.batch, terms.sample)


def test_summed_groups_bound_the_joint_entropy_from_above(generator: torch.Generator) -> None:
    latents = torch.randn(64, 18, generator=generator, dtype=torch.float64)
    latents[:, 9:] = latents[:, :9]  # halves that depend on each other: the bound is far from tight
    joint = lfq_entropy(latents, 1.0).batch
    *bounds, marginals = (lfq_entropy(latents, 1.0, n, group_reduction="sum").batch for n in (1, 2, 3, 6, 18))
    torch.testing.assert_close(bounds[0], joint)
    assert all(joint <= bound + 1e-9 and bound <= marginals + 1e-9 for bound in bounds)
    assert bounds[2] > joint + 1


def test_forty_bits_work_and_use_five_groups(generator: torch.Generator) -> None:
    latents = torch.randn(8, 40, generator=generator).requires_grad_()
    sample, batch = lfq_entropy(latents, 1.0)
    torch.testing.assert_close(batch, lfq_entropy(latents, 1.0, 5).batch)
    assert 0 < batch.item() < 8 * math.log(2)
    (sample - batch).backward()
    assert torch.isfinite(latents.grad).all()


@pytest.mark.parametrize(
    ("latents", "arguments", "message"),
    [
        (torch.zeros(0, 18), {}, "expected at least one position"),
        (torch.zeros(2, 18), {"temperature": 0.0}, "temperature = 0.0: expected a number above 0"),
        (torch.zeros(2, 18), {"temperature": -1.0}, "expected a number above 0"),
        (torch.zeros(2, 18), {"temperature": math.nan}, "expected a number above 0"),
        (torch.zeros(2, 18), {"num_groups": 0}, "num_groups = 0: expected 1 to 18"),
        (torch.zeros(2, 18), {"num_groups": 19}, "num_groups = 19: expected 1 to 18"),
        (torch.zeros(2, 40), {"num_groups": 1}, "use 2 or more"),
    ],
)
def test_bad_arguments_are_refused(latents: Tensor, arguments: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        lfq_entropy(latents, **arguments)
