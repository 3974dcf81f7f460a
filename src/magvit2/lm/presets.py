"""The paper's language models, by name; parameter counts are audited in the tests."""

from types import MappingProxyType

from magvit2.errors import ConfigError
from magvit2.layers.transformer import TransformerConfig
from magvit2.lm.config import CausalLMConfig, LMConfig, MaskedLMConfig
from magvit2.schema import did_you_mean
from magvit2.tokens import TokenSpace

_BERT_LARGE = TransformerConfig(
    "bert", width=1024, num_layers=24, num_heads=16, mlp_width=4096, dropout=0.1, attention_dropout=0.1
)
_IMAGENET = (1, 16, 16)
_UCF101 = (5, 16, 16)

LM_PRESETS: MappingProxyType[str, LMConfig] = MappingProxyType(
    {
        # ImageNet 256, 16 x 16 tokens of 2^18 as 2 x 2^9: 307M parameters (table 7).
        "mlm-2x9": MaskedLMConfig(
            TokenSpace((2,) * 18, (1, 16, 16)), _IMAGENET, num_factors=2, num_classes=1000, transformer=_BERT_LARGE
        ),
        # ImageNet 512, 16 x 16 tokens of 2^40 as 4 x 2^10: 312M (rebuttal R3.3).
        "mlm-4x10": MaskedLMConfig(
            TokenSpace((2,) * 40, (1, 32, 32)), _IMAGENET, num_factors=4, num_classes=1000, transformer=_BERT_LARGE
        ),
        # MAGVIT's 4 x 16 x 16 tokens of 1,024 codes, UCF-101: 306M.
        "mlm-1024": MaskedLMConfig(
            TokenSpace((1024,), (4, 8, 8), is_causal=False), (4, 16, 16), num_factors=1, num_classes=101,
            transformer=_BERT_LARGE,
        ),
        # UCF-101 and Kinetics-600, 17 x 128 x 128: 5 x 16 x 16 tokens of 2^18 (table 1).
        "mlm-video": MaskedLMConfig(
            TokenSpace((2,) * 18, (4, 8, 8)), _UCF101, num_factors=2, num_classes=101, transformer=_BERT_LARGE
        ),
        # The AR-LM of whole ids, embedding and head not tied: 840M (table 8).
        "ar-18": CausalLMConfig(
            TokenSpace((2,) * 18, (4, 8, 8)), _UCF101, num_factors=1, num_classes=101, transformer=_BERT_LARGE
        ),
    }
)  # fmt: skip


def lm_preset(name: str) -> LMConfig:
    """Return the configuration called `name`, a MaskedLMConfig or a CausalLMConfig. Raises ConfigError."""
    if name not in LM_PRESETS:
        known = ", ".join(LM_PRESETS)
        raise ConfigError(f"language model {name!r}: expected one of {known}{did_you_mean(name, LM_PRESETS)}")
    return LM_PRESETS[name]
