"""Values are drawn by their probabilities, of the likeliest alone where that is asked."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from magvit2.errors import InputError
from magvit2.sampling.chance import generators_for, gumbel_noise, sample_generators, uniform_noise
from magvit2.sampling.choice import draw, guided, likeliest

WEIGHTS = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=9).filter(lambda weights: sum(weights) > 1e-3)
LOGITS = arrays("float32", st.integers(1, 9), elements=st.floats(-20, 20, width=32), unique=True)


@given(WEIGHTS, st.floats(2**-30, 1 - 2**-23, width=32))
def test_a_draw_is_where_the_running_sum_passes_the_noise(weights: list[float], noise: float) -> None:
    found = int(draw(torch.tensor([weights]), torch.tensor([noise]))[0])
    assert weights[found] > 0
    assert sum(weights[:found]) <= noise * sum(weights) + 1e-5
    assert sum(weights[: found + 1]) >= noise * sum(weights) - 1e-5


@given(LOGITS, st.integers(1, 12))
def test_top_k_keeps_the_k_likeliest(logits: np.ndarray, top_k: int) -> None:
    kept = likeliest(torch.from_numpy(logits), top_k, None)
    best = set(sorted(range(len(logits)), key=lambda i: -logits[i])[:top_k])
    assert {i for i, value in enumerate(kept.tolist()) if value > -math.inf} == best
    assert all(kept[i] == logits[i] for i in best)


@given(LOGITS, st.floats(0.01, 0.99))
def test_top_p_keeps_the_fewest_that_reach_p(logits: np.ndarray, top_p: float) -> None:
    kept = likeliest(torch.from_numpy(logits), None, top_p) > -math.inf
    shares = torch.from_numpy(logits).double().softmax(-1)
    assert shares[kept].sum() >= top_p - 1e-5
    assert shares[kept].sum() - shares[kept].min() < top_p + 1e-5
    assert shares[kept].min() >= (shares[~kept].max() if (~kept).any() else 0)


def test_equal_values_do_not_get_past_top_k() -> None:
    assert likeliest(torch.zeros(5), 2, None).isfinite().sum() == 2


def test_top_p_counts_among_the_top_k() -> None:
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    assert likeliest(logits, 2, 0.5).isfinite().tolist() == [True, False, False, False]
    assert likeliest(logits, None, 0.5).isfinite().tolist() == [True, True, False, False]


def test_guidance_moves_away_from_the_logits_without_a_class() -> None:
    assert guided(torch.tensor([[3.0, 1.0], [2.0, 2.0]]), 2.0).tolist() == [[5.0, -1.0]]


def test_noise_of_a_sample_is_its_seed_s_alone() -> None:
    alone = uniform_noise(generators_for([7]), (5, 2))
    together = uniform_noise(generators_for([3, 7]), (5, 2))
    assert torch.equal(alone[0], together[1]) and not torch.equal(together[0], together[1])


def test_gumbel_noise_has_its_mean_and_spread() -> None:
    noise = gumbel_noise(generators_for([0]), (50_000,))
    assert float(noise.mean()) == pytest.approx(0.5772, abs=0.02)
    assert float(noise.std()) == pytest.approx(math.pi / math.sqrt(6), abs=0.02)


def test_one_generator_gives_the_same_seeds_first_whatever_their_number() -> None:
    few, many = (sample_generators(torch.Generator().manual_seed(1), count) for count in (2, 40))
    assert [each.initial_seed() for each in few] == [each.initial_seed() for each in many[:2]]


def test_without_a_generator_torch_s_own_decides() -> None:
    torch.manual_seed(5)
    first = sample_generators(None, 2)
    torch.manual_seed(5)
    assert [each.initial_seed() for each in first] == [each.initial_seed() for each in sample_generators(None, 2)]


def test_generators_must_be_as_many_as_samples() -> None:
    with pytest.raises(InputError, match="2 generators for 3 samples"):
        sample_generators(generators_for([1, 2]), 3)
