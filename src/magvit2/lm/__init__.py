"""Language models over visual tokens: masked and causal, one transformer. They know tokens and never pixels."""

from magvit2.lm.causal import CausalLM
from magvit2.lm.config import CausalLMConfig, LMConfig, MaskedLMConfig
from magvit2.lm.masked import MaskedLM
from magvit2.lm.presets import LM_PRESETS, lm_preset

__all__ = ["LM_PRESETS", "CausalLM", "CausalLMConfig", "LMConfig", "MaskedLM", "MaskedLMConfig", "lm_preset"]
