"""The benchmark of samplers at tiny shapes: what is reported, that ratios are ratios, and what is missing is a line."""

import json
import math
import sys
from typing import Any

import pytest
import torch

from magvit2.benchmarks import sampling
from magvit2.benchmarks.measure import Setup
from magvit2.benchmarks.sampling import OURS, RIVAL, benchmark_sampling, configs_of, measure_masked
from magvit2.errors import InputError
from magvit2.layers.transformer import TransformerConfig
from magvit2.lm import LM_PRESETS, CausalLMConfig, MaskedLM, MaskedLMConfig
from magvit2.tokens import TokenSpace
from tests.cli.running import done, run

QUICK = Setup(threads=1, repeats=1)
SHAPE = TransformerConfig("bert", width=8, num_layers=2, num_heads=2, mlp_width=12)
TINY = MaskedLMConfig(TokenSpace((2,) * 4, (4, 8, 8)), (3, 2, 2), transformer=SHAPE)


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be measured in fresh processes is measured in this one; "tiny" is a preset."""
    monkeypatch.setattr(sampling, "in_fresh_process", lambda function, setup, **arguments: function(setup, **arguments))
    monkeypatch.setattr(sampling, "lm_preset", lambda name: {"tiny": TINY, **LM_PRESETS}[name])
    monkeypatch.setattr(sampling, "matmul", lambda dtype, device: (lambda: torch.ones(8, dtype=dtype).sum(), 1.0))


def reported(*words: object) -> dict[str, Any]:
    """What `magvit2 benchmark sampling tiny WORDS --json` prints."""
    found: dict[str, Any] = json.loads(
        done("benchmark", "sampling", "tiny", "--threads", 1, "--repeats", 1, *words, "--json")
    )
    return found


def test_both_contenders_write_the_same_number_of_tokens() -> None:
    found = benchmark_sampling(QUICK, "tiny", batches=[1, 3], num_latents=2, num_steps=2)
    rows = found.tables["causal"]
    assert [(row["contender"], row["batch"]) for row in rows] == [(OURS, 1), (RIVAL, 1), (OURS, 3), (RIVAL, 3)]
    for ours, theirs in (rows[:2], rows[2:]):
        assert ours["tokens"] == theirs["tokens"] == 2 * 2 * 2 * 2
        assert ours["x_time"] == 1
        assert theirs["x_time"] == pytest.approx(ours["tokens_per_s"] / theirs["tokens_per_s"])
        assert ours["share"] / theirs["share"] == pytest.approx(theirs["x_time"])
    assert found.notes == [
        f"batch {row['batch']}: {row['x_time']:.2f} times as many tokens a second as transformers; "
        "the goal is 1.5 on a CPU"
        for row in rows[1::2]
    ]


def test_without_transformers_ours_is_measured_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    found = reported("--batches", 1, "--steps", 1)
    assert list(found) == ["benchmark", "machine", "causal", "masked", "notes"]
    assert [row["contender"] for row in found["causal"]] == [OURS]
    assert found["notes"] == ["transformers: not measured: needs transformers: pip install transformers"]


def test_masked_sampling_is_of_one_whole_clip() -> None:
    row = measure_masked(QUICK, "tiny", "fp32", num_steps=4)
    assert (row["clip"], row["grid"], row["steps"]) == ("9x16x16", "3x2x2", 4)
    assert row["steps_per_s"] * row["clip_s"] == pytest.approx(4)


@torch.no_grad()
def test_work_is_that_of_the_matrix_products_attention_too() -> None:
    lm = MaskedLM(TINY).eval().requires_grad_(False)
    found = sampling._mflop(lambda: lm(lm.mask_values().expand(1, 3, 2, 2, -1), torch.tensor([0])))
    tokens, width, mlp, sizes = 13, 8, 12, (4, 4)
    block = 2 * tokens * (4 * width**2 + 2 * width * mlp) + 4 * tokens**2 * width
    heads = sum(2 * 12 * (width**2 + width * size) for size in sizes)
    assert found == pytest.approx((2 * block + heads) / 1e6)


@pytest.mark.parametrize("name", ["default", *LM_PRESETS])
def test_every_preset_gives_a_model_of_each_kind_of_its_size(name: str) -> None:
    causal, masked = configs_of(name)
    assert isinstance(causal, CausalLMConfig) and isinstance(masked, MaskedLMConfig)
    assert (causal.transformer.style, causal.transformer.width) == ("llama", masked.transformer.width)
    assert math.prod(causal.factor_sizes) == masked.space.vocab_size


def test_more_latents_than_the_grid_has_are_refused() -> None:
    with pytest.raises(InputError, match=r"grid \(4, 2, 2\): expected at most \(3, 2, 2\)"):
        benchmark_sampling(QUICK, "tiny", num_latents=4)


@pytest.mark.parametrize("option", ["--batches", "--latents", "--steps"])
def test_none_of_something_is_one_line(option: str) -> None:
    assert f"{option} 0: expected 1 or more" in run("benchmark", "sampling", "tiny", option, "0").line
