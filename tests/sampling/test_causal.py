"""Causal sampling: the cache changes nothing, factors keep to their own values, what is given stays."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from magvit2.errors import ConfigError, InputError
from magvit2.layers.transformer import TransformerConfig
from magvit2.lm import CausalLM, CausalLMConfig
from magvit2.sampling import CausalSampling, Guidance, generators_for, sample_causal, sample_causal_steps
from magvit2.sampling.chance import uniform_noise
from magvit2.tokens import TokenSpace
from tests.sampling.tiny_lms import GRID, SHAPE, SPACE, causal_lm

BERT = TransformerConfig("bert", width=16, num_layers=2, num_heads=2, mlp_width=16)
FSQ = TokenSpace((8, 5, 5), (4, 8, 8))


@torch.no_grad()
def without_cache(lm: CausalLM, label: int, scale: float, seed: int, prefix: Tensor | None = None) -> Tensor:
    """One sample, by the whole sequence anew for each factor, and a walk along the probabilities."""
    sizes, none = lm.config.factor_sizes, lm.config.num_classes
    noise = uniform_noise(generators_for([seed]), (12 * len(sizes),))[0].tolist()
    tokens = [] if prefix is None else lm.to_sequence(prefix)[0].tolist()
    for i in range(len(tokens), 12 * len(sizes)):
        classes = lm.class_tokens(torch.tensor([label, none])).tolist()
        with_class, without = (lm(torch.tensor([[token, *tokens]]))[0, -1] for token in classes)
        own = range(lm.offsets[i % len(sizes)], lm.offsets[i % len(sizes) + 1])
        logits = (with_class + scale * (with_class - without))[own[0] : own[-1] + 1]
        sums = itertools.accumulate(logits.double().softmax(-1).tolist())
        tokens.append(next(token for token, total in zip(own, sums, strict=True) if total > noise[i]))
    return lm.to_ids(torch.tensor([tokens]), GRID)


@pytest.mark.parametrize("shape", [SHAPE, BERT], ids=["llama", "bert"])
@pytest.mark.parametrize("changes", [{}, {"num_factors": 1}, {"space": FSQ, "num_factors": 3}], ids=["2", "1", "fsq"])
@pytest.mark.parametrize("scale", [0.0, 1.5])
def test_the_cache_changes_no_id(shape: TransformerConfig, changes: dict[str, object], scale: float) -> None:
    lm = causal_lm(transformer=shape, **changes)
    for seed in range(2):
        found = sample_causal(lm, GRID, 1, guidance=Guidance(scale), generator=generators_for([seed]))
        assert torch.equal(found, without_cache(lm, 1, scale, seed))


@given(st.sampled_from([1, 2, 3, 6]), st.integers(0, 2**32))
@settings(max_examples=8)
def test_ids_lie_in_the_space_and_factors_in_their_ranges(num_factors: int, seed: int) -> None:
    lm = causal_lm(num_factors=num_factors)
    ids = sample_causal(lm, GRID, num_samples=2, generator=torch.Generator().manual_seed(seed))
    assert ids.dtype == torch.int64 and ids.min() >= 0 and ids.max() < 64
    tokens = torch.cat(lm.seen, dim=1)[:, 1:]
    for place in range(tokens.shape[1]):
        low, high = lm.offsets[place % num_factors], lm.offsets[place % num_factors + 1]
        assert ((low <= tokens[:, place]) & (tokens[:, place] < high)).all()


def test_every_token_is_read_once() -> None:
    lm = causal_lm()
    sample_causal(lm, GRID, 1)
    assert [tuple(run.shape) for run in lm.seen] == [(1, 1)] * 24


def test_guidance_reads_both_halves_in_one_pass() -> None:
    lm = causal_lm()
    sample_causal(lm, GRID, [0, 1], guidance=Guidance(1.0, "linear"))
    assert [len(run) for run in lm.seen] == [4] * 24
    assert (lm.seen[0] - lm.offsets[-1]).flatten().tolist() == [0, 1, 3, 3]


def test_a_prefix_is_read_at_once_and_kept() -> None:
    lm = causal_lm()
    prefix = torch.randint(64, (2, 2, 2, 2))
    ids = sample_causal(lm, GRID, [0, 2], prefix=prefix, generator=generators_for([5, 6]))
    assert torch.equal(ids[:, :2], prefix)
    assert lm.seen[0].shape == (2, 17)
    assert torch.equal(ids[1:], without_cache(lm, 2, 0.0, 6, prefix[1:]))


@pytest.mark.parametrize("changes", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
def test_the_likeliest_values_are_taken_where_only_they_are_left(changes: dict[str, float]) -> None:
    lm = causal_lm()
    ids = sample_causal(lm, GRID, 1, settings=CausalSampling(**changes))  # type: ignore[arg-type]
    logits = lm(torch.cat([lm.class_tokens(torch.tensor([1]))[None], lm.to_sequence(ids)], dim=1))[0, :-1]
    best = [int(each[8 * (i % 2) : 8 * (i % 2) + 8].argmax()) for i, each in enumerate(logits)]
    assert SPACE.ids_to_factors(ids, 2).flatten().tolist() == best


def test_a_sample_is_the_same_alone_and_in_a_batch() -> None:
    lm = causal_lm()
    batch = sample_causal(lm, GRID, [2, 0, 1], top_k=5, generator=torch.Generator().manual_seed(3))
    alone = sample_causal(lm, GRID, [2], top_k=5, generator=torch.Generator().manual_seed(3))
    assert torch.equal(batch[:1], alone)
    assert torch.equal(
        sample_causal(lm, GRID, [0, 1], generator=generators_for([1, 2]))[1:],
        sample_causal(lm, GRID, 1, generator=generators_for([2])),
    )


class KnownCausalLM(CausalLM):
    """Says the same of whatever it has read."""

    shares = (torch.tensor([0.4, 0.1, 0.05, 0.2, 0.02, 0.03, 0.15, 0.05]), torch.arange(1, 9) / 36)

    def factor_logits(self, hidden: Tensor, factor: int) -> Tensor:
        return self.shares[factor].log().expand(len(hidden), 8)


def test_samples_have_the_model_s_distribution() -> None:
    lm = KnownCausalLM(CausalLMConfig(SPACE, (1, 4, 4), transformer=SHAPE))
    ids = sample_causal(lm, (1, 4, 4), num_samples=256, generator=torch.Generator().manual_seed(0))
    for factor, values in enumerate(SPACE.ids_to_factors(ids, 2).unbind(-1)):
        expected = lm.shares[factor] * ids.numel()
        chi_square = ((values.flatten().bincount(minlength=8) - expected) ** 2 / expected).sum()
        assert chi_square < 24.3, "the 99.9th percentile with 7 degrees of freedom"


def test_there_is_a_step_for_each_row() -> None:
    prefix = torch.randint(64, (1, 1, 2, 2))
    steps = list(sample_causal_steps(causal_lm(), GRID, 1, prefix=prefix, generator=generators_for([1])))
    assert [step.num_set for step in steps] == [6, 8, 10, 12]
    last = steps[-1].ids.flatten()
    for step in steps:
        assert torch.equal(step.ids.flatten()[: step.num_set], last[: step.num_set])
        assert (step.ids.flatten()[step.num_set :] == 0).all()
    whole = sample_causal(causal_lm(), GRID, 1, prefix=prefix, generator=generators_for([1]))
    assert torch.equal(whole.flatten(), last)


def test_a_model_in_training_samples_without_dropout_and_goes_on_training() -> None:
    lm = causal_lm()
    expected = sample_causal(lm, GRID, 1, generator=generators_for([2]))
    lm.train()
    ids = sample_causal(lm, GRID, 1, generator=generators_for([2]))
    assert torch.equal(ids, expected) and lm.training
    lm(lm.to_sequence(ids)).sum().backward()
    assert lm.embedding.weight.grad is not None


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"grid": (3, 3, 2)}, r"grid \(3, 3, 2\): expected at most \(3, 2, 2\)"),
        ({"label": 7}, "label 7: expected 0 to 2"),
        ({"prefix": torch.zeros(1, 1, 2, 1).long()}, r"prefix \[1, 1, 2, 1\]"),
        ({"prefix": torch.zeros(1, *GRID).long()}, "prefix of 3 latents .* expected at most 2"),
        ({"prefix": torch.full((1, 1, 2, 2), 64)}, "expected 0 to 63"),
        ({"prefix": torch.zeros(2, 1, 2, 2).long(), "num_samples": 3}, "'prefix': 2, 'num_samples': 3"),
        ({"guidance": Guidance(1.0)}, "without a label"),
        ({"generator": generators_for([])}, "0 generators for 1 samples"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_what_does_not_fit_is_refused(arguments: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        sample_causal_steps(causal_lm(), **({"grid": GRID} | arguments))  # type: ignore[arg-type]


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="top_k = 0"):
        sample_causal(causal_lm(), GRID, top_k=0)
