"""magvit2: a causal video tokenizer with lookup-free quantization (MAGVIT-v2), in PyTorch.

The public names below load when they are first used, so that `import magvit2` costs next to nothing and does nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from magvit2.errors import Magvit2Error as Magvit2Error
    from magvit2.lm import CausalLM as CausalLM
    from magvit2.lm import CausalLMConfig as CausalLMConfig
    from magvit2.lm import MaskedLM as MaskedLM
    from magvit2.lm import MaskedLMConfig as MaskedLMConfig
    from magvit2.lm import lm_preset as lm_preset
    from magvit2.quantizers import BSQ as BSQ
    from magvit2.quantizers import FSQ as FSQ
    from magvit2.quantizers import LFQ as LFQ
    from magvit2.quantizers import VQ as VQ
    from magvit2.quantizers import Quantized as Quantized
    from magvit2.quantizers import lfq_entropy as lfq_entropy
    from magvit2.sampling import CausalSampling as CausalSampling
    from magvit2.sampling import Guidance as Guidance
    from magvit2.sampling import MaskedSampling as MaskedSampling
    from magvit2.sampling import sample_causal as sample_causal
    from magvit2.sampling import sample_causal_steps as sample_causal_steps
    from magvit2.sampling import sample_long as sample_long
    from magvit2.sampling import sample_masked as sample_masked
    from magvit2.sampling import sample_masked_steps as sample_masked_steps
    from magvit2.tokenizer import Tokenizer as Tokenizer
    from magvit2.tokenizer import TokenizerConfig as TokenizerConfig
    from magvit2.tokenizer import tokenizer_preset as tokenizer_preset
    from magvit2.tokens import Tokens as Tokens
    from magvit2.tokens import TokenSpace as TokenSpace

__version__ = "0.1.0"

# The one table of public names: where each of them lives. docs/api.md describes them; a test compares the two.
_HOMES = {
    "BSQ": "magvit2.quantizers",
    "CausalLM": "magvit2.lm",
    "CausalLMConfig": "magvit2.lm",
    "CausalSampling": "magvit2.sampling",
    "FSQ": "magvit2.quantizers",
    "Guidance": "magvit2.sampling",
    "LFQ": "magvit2.quantizers",
    "Magvit2Error": "magvit2.errors",
    "MaskedLM": "magvit2.lm",
    "MaskedLMConfig": "magvit2.lm",
    "MaskedSampling": "magvit2.sampling",
    "Quantized": "magvit2.quantizers",
    "TokenSpace": "magvit2.tokens",
    "Tokenizer": "magvit2.tokenizer",
    "TokenizerConfig": "magvit2.tokenizer",
    "Tokens": "magvit2.tokens",
    "VQ": "magvit2.quantizers",
    "lfq_entropy": "magvit2.quantizers",
    "lm_preset": "magvit2.lm",
    "sample_causal": "magvit2.sampling",
    "sample_causal_steps": "magvit2.sampling",
    "sample_long": "magvit2.sampling",
    "sample_masked": "magvit2.sampling",
    "sample_masked_steps": "magvit2.sampling",
    "tokenizer_preset": "magvit2.tokenizer",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'magvit2' has no attribute {name!r}: it offers {', '.join(sorted(_HOMES))}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not, and what is loaded besides."""
    return sorted({*globals(), *_HOMES})
