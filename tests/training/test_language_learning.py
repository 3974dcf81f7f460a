"""Language models learn: a few clips by heart, and a source of known entropy to within its rate."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from magvit2.layers.transformer import TransformerConfig
from magvit2.sampling import sample_causal, sample_masked
from magvit2.tokens import TokenSpace
from magvit2.training import LanguageTraining, OptimizerConfig
from magvit2.training.language import start
from magvit2.training.language_objective import make_objective
from magvit2.training.language_record import validate_language
from magvit2.training.language_source import TokenBatch, Vocabulary
from magvit2.training.language_step import language_step

SPACE = TokenSpace((2,) * 4, (4, 8, 8))
CONFIG = LanguageTraining(
    transformer=TransformerConfig(width=48, num_layers=2, num_heads=2, mlp_width=96, dropout=0.0),
    optimizer=OptimizerConfig(
        kind="muon", lr=4e-3, beta1=0.9, beta2=0.96, warmup_steps=10, max_grad_norm=1.0, schedule="linear"
    ),
    precision="fp32",
    label_dropout=0.0,
    label_smoothing=0.0,
    schedule="linear",
)
KINDS = {
    "masked": CONFIG,
    "causal": dataclasses.replace(CONFIG, kind="causal"),
    "bits": dataclasses.replace(CONFIG, tokens="bits", num_factors=4, unit="factor"),
}


def trained(config: LanguageTraining, vocabulary: Vocabulary, batch_of: object, num_steps: int) -> object:
    config = dataclasses.replace(config, num_steps=num_steps)
    model = config.model(vocabulary)
    state, objective = start(config, model, "cpu"), make_objective(config, model, None)
    for step in range(num_steps):
        language_step(step, batch_of(step), state, objective, config, model)  # type: ignore[operator]
    return state.average


@pytest.mark.parametrize("kind", KINDS)
def test_eight_clips_are_learnt_by_heart(kind: str, generator: torch.Generator) -> None:
    clips = torch.randint(16, (8, 2, 3, 3), generator=generator)
    batch = TokenBatch(clips, torch.arange(8), "video")
    vocabulary = Vocabulary(SPACE, (2, 3, 3), tuple("abcdefgh"), "")
    lm = trained(KINDS[kind], vocabulary, lambda step: batch, 250)
    objective = make_objective(KINDS[kind], lm.config, None)  # type: ignore[attr-defined]
    assert validate_language(lm, [batch], objective, KINDS[kind])["val_bits"] < 0.1  # type: ignore[arg-type]
    sample = sample_causal if kind == "causal" else sample_masked
    made = sample(lm, (2, 3, 3), torch.arange(8), generator=generator)  # type: ignore[operator]
    assert (made == clips).float().mean() > 0.97


def transitions() -> np.ndarray:
    """A Markov chain over 16 ids: of each two likely successors and a rest."""
    rng = np.random.default_rng(0)
    matrix = np.full((16, 16), 0.01)
    for row in matrix:
        row[rng.choice(16, 2, replace=False)] += (0.55, 0.29)
    return matrix / matrix.sum(1, keepdims=True)


def chains(seed: int, count: int, length: int) -> Tensor:
    """Chains that begin anywhere."""
    rng, matrix = np.random.default_rng(seed), transitions().cumsum(1)
    states = [rng.integers(16, size=count)]
    for _ in range(length - 1):
        draws = rng.random(count)
        states.append((draws[:, None] > matrix[states[-1]]).sum(1).clip(max=15))
    return torch.from_numpy(np.stack(states, axis=1))


def entropy_rate(length: int) -> float:
    """Entropy of a chain in bits a token: the start's, then each step's, at the distribution of that time."""
    matrix, now = transitions(), np.full(16, 1 / 16)
    of_rows, bits = -(matrix * np.log2(matrix)).sum(1), math.log2(16)
    for _ in range(length - 1):
        bits += float(now @ of_rows)
        now = now @ matrix
    return bits / length


@pytest.mark.parametrize(("kind", "num_steps"), [("masked", 800), ("causal", 250)])
def test_bits_a_token_come_to_the_entropy_rate_of_a_markov_source(kind: str, num_steps: int) -> None:
    """For a masked model too: with a uniform number of masks the mean is the cost of a random order."""
    length = 6
    vocabulary = Vocabulary(SPACE, (1, 1, length), (), "")
    config = dataclasses.replace(KINDS[kind], num_factors=1)

    def batch(seed: int, count: int = 64) -> TokenBatch:
        return TokenBatch(chains(seed, count, length).view(count, 1, 1, length), torch.zeros(count).long(), "image")

    lm = trained(config, vocabulary, batch, num_steps)
    objective = make_objective(config, lm.config, None)  # type: ignore[attr-defined]
    held_out = [batch(10_000 + number) for number in range(20)]
    bits = validate_language(lm, held_out, objective, config)["val_bits"]  # type: ignore[arg-type]
    assert bits == pytest.approx(entropy_rate(length), rel=0.05)
    assert entropy_rate(length) < 0.7 * math.log2(16)  # far from what knows nothing
