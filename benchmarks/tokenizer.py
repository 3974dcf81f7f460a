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
    """Print one line for each size and type."""
    print(f"{name}: {NUM_FRAMES} frames, batch 1, threads: {torch.get_num_threads()}, median of 5")
    print(f"{'':16}{'encode fps':>12}{'decode fps':>12}{'enc share':>11}{'dec share':>11}   of the matmul ceiling")
    for dtype in (torch.float32, torch.bfloat16):
        tokenizer = Tokenizer.from_pretrained(name, dtype=dtype)
        costs, ceiling = audit(tokenizer.config), matmul_gflops(dtype)
        for side in SIDES:
            clips = torch.rand(1, 3, NUM_FRAMES, side, side) * 2 - 1
            ids = tokenizer.encode(clips)
            encode_s, decode_s = median_s(lambda c=clips: tokenizer.encode(c)), median_s(lambda i=ids: tokenizer.decode(i))
            mflop = NUM_FRAMES * side * side / 1e3
            shares = [
                costs.encoder_mflop_per_pixel * mflop / encode_s / ceiling,
                costs.decoder_mflop_per_pixel * mflop / decode_s / ceiling,
            ]
            label = f"{'fp32' if dtype == torch.float32 else 'bf16'} {side}x{side}"
            print(f"{label:16}{NUM_FRAMES / encode_s:12.1f}{NUM_FRAMES / decode_s:12.1f}{shares[0]:11.0%}{shares[1]:11.0%}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "default")
