"""magvit2: a causal video tokenizer with lookup-free quantization (MAGVIT-v2), in PyTorch.

The public names below load when they are first used, so that `import magvit2` costs next to nothing and does nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from magvit2.errors import Magvit2Error as Magvit2Error
    from magvit2.quantizers import BSQ as BSQ
    from magvit2.quantizers import FSQ as FSQ
    from magvit2.quantizers import LFQ as LFQ
    from magvit2.quantizers import VQ as VQ
    from magvit2.quantizers import Quantized as Quantized
    from magvit2.quantizers import lfq_entropy as lfq_entropy
    from magvit2.tokenizer import Tokenizer as Tokenizer
    from magvit2.tokenizer import TokenizerConfig as TokenizerConfig
    from magvit2.tokenizer import tokenizer_preset as tokenizer_preset
    from magvit2.tokens import Tokens as Tokens
    from magvit2.tokens import TokenSpace as TokenSpace

__version__ = "0.1.0"

# The one table of public names: where each of them lives. docs/api.md describes them; a test compares the two.
_HOMES = {
    "BSQ": "magvit2.quantizers",
    "FSQ": "magvit2.quantizers",
    "LFQ": "magvit2.quantizers",
    "Magvit2Error": "magvit2.errors",
    "Quantized": "magvit2.quantizers",
    "TokenSpace": "magvit2.tokens",
    "Tokenizer": "magvit2.tokenizer",
    "TokenizerConfig": "magvit2.tokenizer",
    "Tokens": "magvit2.tokens",
    "VQ": "magvit2.quantizers",
    "lfq_entropy": "magvit2.quantizers",
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
