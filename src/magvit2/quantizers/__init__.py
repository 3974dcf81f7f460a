"""Quantizers: latents to codes and ids, and the penalty that keeps the codes in use."""

from magvit2.quantizers.base import Quantized
from magvit2.quantizers.bsq import BSQ
from magvit2.quantizers.entropy import lfq_entropy
from magvit2.quantizers.fsq import FSQ
from magvit2.quantizers.lfq import LFQ
from magvit2.quantizers.vq import VQ

__all__ = ["BSQ", "FSQ", "LFQ", "VQ", "Quantized", "lfq_entropy"]
