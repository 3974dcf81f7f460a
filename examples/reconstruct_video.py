"""A video through the tokenizer, beside its original, a few frames at a time: any length fits into memory.

python examples/reconstruct_video.py clip.mp4 side-by-side.mp4 [--model default]
"""

import argparse
from pathlib import Path

import magvit2
from magvit2.metrics import FrameQuality
from magvit2.pipelines import reconstruct_file, side_by_side_frames, write_frames
from magvit2.video import probe


def main() -> None:
    """Read the arguments, write the video, print its quality."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="a video, an image or a folder of frames")
    parser.add_argument("target", type=Path, help="a video, an image or a folder of frames to write")
    parser.add_argument("--model", default="default", help="embedded name, model folder, or owner/name on the hub")
    given = parser.parse_args()

    tokenizer = magvit2.Tokenizer.from_pretrained(given.model)
    quality = FrameQuality()
    # Nothing is computed yet: each line is a stream that takes frames from the one above.
    pairs = reconstruct_file(tokenizer, given.source)
    measured = quality.watch(pairs)
    frames = side_by_side_frames(measured)
    num_frames = write_frames(given.target, frames, probe(given.source).fps)
    print(f"{num_frames} frames, PSNR {quality.psnr:.2f} dB, {tokenizer.space.bits_per_pixel:.4f} bits per pixel")


if __name__ == "__main__":
    main()
