"""Frames per second of encode and decode through canonical chunks, and the share of this machine's matmul ceiling.

python -m benchmarks.tokenizer [MODEL]          default: the embedded weights
"""

import sys

import torch

from benchmarks.measure import matmul_gflops, median_s
from magvit2 import Tokenizer
from magvit2.tokenizer import audit

NUM_FRAMES = 17
SIDES = (128, 256)


def main(name: str) -> None:
    """Print one line for each type and size."""
    print(f"{name}: {NUM_FRAMES} frames, batch 1, threads: {torch.get_num_threads()}, median of 5")
    print(f"{'':16}{'encode fps':>12}{'decode fps':>12}{'enc share':>11}{'dec share':>11}   of the matmul ceiling")
    for label, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        tokenizer = Tokenizer.from_pretrained(name, dtype=dtype)
        ceiling = matmul_gflops(dtype)
        for side in SIDES:
            line(f"{label} {side}x{side}", tokenizer, side, ceiling)


def line(label: str, tokenizer: Tokenizer, side: int, ceiling: float) -> None:
    """Measure and print one size."""
    clips = torch.rand(1, 3, NUM_FRAMES, side, side) * 2 - 1
    ids = tokenizer.encode(clips)
    encode_s, decode_s = median_s(lambda: tokenizer.encode(clips)), median_s(lambda: tokenizer.decode(ids))
    costs, megapixels = audit(tokenizer.config), NUM_FRAMES * side * side / 1e6
    encode_share = costs.encoder_mflop_per_pixel * megapixels * 1e3 / encode_s / ceiling
    decode_share = costs.decoder_mflop_per_pixel * megapixels * 1e3 / decode_s / ceiling
    speeds = f"{NUM_FRAMES / encode_s:12.1f}{NUM_FRAMES / decode_s:12.1f}"
    print(f"{label:16}{speeds}{encode_share:11.0%}{decode_share:11.0%}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "default")
