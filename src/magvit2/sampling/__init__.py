"""Samplers: language models in, ids out; masked ones in a few steps, causal ones in as many as there are tokens."""

from magvit2.sampling.causal import CausalStep, sample_causal, sample_causal_steps
from magvit2.sampling.chance import generators_for
from magvit2.sampling.long import sample_long
from magvit2.sampling.masked import MaskedStep, sample_masked, sample_masked_steps
from magvit2.sampling.presets import MASKED_PRESETS, masked_preset
from magvit2.sampling.settings import CausalSampling, Guidance, MaskedSampling

__all__ = [
    "MASKED_PRESETS",
    "CausalSampling",
    "CausalStep",
    "Guidance",
    "MaskedSampling",
    "MaskedStep",
    "generators_for",
    "masked_preset",
    "sample_causal",
    "sample_causal_steps",
    "sample_long",
    "sample_masked",
    "sample_masked_steps",
]
