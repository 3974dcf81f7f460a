"""The door to other people's implementations: without them, a benchmark says how to install them and goes on."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from magvit2.benchmarks.measure import NotMeasuredError
from magvit2.runtime import small_products

# The example of magvit2-pytorch's README, with 18 bits.
_README_LAYERS = (
    "residual",
    "compress_space",
    ("consecutive_residual", 2),
    "compress_space",
    ("consecutive_residual", 2),
    "linear_attend_space",
    "compress_space",
    ("consecutive_residual", 2),
    "attend_space",
    "compress_time",
    ("consecutive_residual", 2),
    "compress_time",
    ("consecutive_residual", 2),
    "attend_time",
)


def vector_quantize_loss(num_bits: int) -> Callable[[Tensor], Tensor]:
    """Return vector-quantize-pytorch's LFQ in training: latents [n, k] to its penalty, with its own defaults.

    Raises NotMeasuredError where it is not installed.
    """
    try:
        from vector_quantize_pytorch import LFQ
    except ImportError as error:
        raise NotMeasuredError("pip install vector-quantize-pytorch") from error
    quantizer = LFQ(dim=num_bits, codebook_size=2**num_bits, entropy_loss_weight=0.1).train()
    return lambda latents: quantizer.to(latents.device)(latents[None])[2]


def magvit2_pytorch_tokenizer(side: int) -> nn.Module:
    """Return magvit2-pytorch's tokenizer as its README builds it, with 18 bits and random weights.

    Raises NotMeasuredError where it is not installed, or where what it needs is not.
    """
    try:
        from magvit2_pytorch import VideoTokenizer
    except ImportError as error:
        raise NotMeasuredError("pip install magvit2-pytorch") from error
    except RuntimeError as error:  # a torchvision that does not belong to this torch
        raise NotMeasuredError(f"magvit2-pytorch cannot be imported: {error}") from error
    sizes: dict[str, Any] = {"image_size": side, "init_dim": 64, "max_dim": 512, "codebook_size": 2**18}
    model: nn.Module = VideoTokenizer(**sizes, layers=_README_LAYERS, use_gan=False, perceptual_loss_weight=0.0)
    return model.eval()


def transformers_generate(folder: str, device: torch.device, dtype: torch.dtype) -> Callable[[int, int], Tensor]:
    """Return transformers' sampling from an exported Llama: batch and number of tokens to sequences behind its class.

    It does what is fastest for it: it draws from the whole vocabulary, without filters, and multiplies as our sampler
    does. Raises NotMeasuredError where it is not installed.
    """
    try:
        from transformers import LlamaForCausalLM
    except ImportError as error:
        raise NotMeasuredError("needs transformers: pip install transformers") from error
    model = LlamaForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
    model.generation_config.suppress_tokens = None

    def generate(batch: int, num_tokens: int) -> Tensor:
        first = torch.full((batch, 1), model.config.bos_token_id, device=device)
        chance = {"do_sample": True, "top_k": 0, "attention_mask": torch.ones_like(first)}
        with small_products(device):
            return model.generate(first, max_new_tokens=num_tokens, **chance)[:, 1:]

    return generate
