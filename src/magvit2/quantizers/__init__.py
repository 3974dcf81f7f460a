"""Quantizers: latents to codes and ids, and the penalty that keeps the codes in use."""

from magvit2.quantizers.base import Quantized
from magvit2.quantizers.entropy import lfq_entropy
from magvit2.quantizers.lfq import LFQ

__all__ = ["LFQ", "Quantized", "lfq_entropy"]
