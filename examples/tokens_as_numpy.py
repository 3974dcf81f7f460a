"""Tokens as plain NumPy arrays, for whatever one wants to do with them; then pixels again.

python examples/tokens_as_numpy.py photo.png ids.npy again.png [--model default]
"""

import argparse
from pathlib import Path

import numpy as np
import torch

import magvit2
from magvit2.video import VideoWriter, open_media, read_clip, write_image


def encode(tokenizer: magvit2.Tokenizer, source: Path) -> np.ndarray:
    """Return the ids int64 [t, h, w] of a video or an image."""
    frames, _ = read_clip(source)  # uint8 [T, H, W, 3]
    clips = torch.from_numpy(frames).permute(3, 0, 1, 2)[None] / 127.5 - 1  # float [1, 3, T, H, W] in [-1, 1]
    return tokenizer.encode(clips)[0].numpy()


def decode(tokenizer: magvit2.Tokenizer, ids: np.ndarray) -> np.ndarray:
    """Return the uint8 frames [T, H, W, 3] of ids; all of them, padding included."""
    clip = tokenizer.decode(torch.from_numpy(ids)[None])[0]  # float [3, T, H, W] in [-1, 1]
    return ((clip + 1) * 127.5).round().byte().permute(1, 2, 3, 0).numpy()


def main() -> None:
    """Read the arguments, write ids and pixels, print what the ids are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="a video or an image")
    parser.add_argument("ids", type=Path, help="an .npy file to write")
    parser.add_argument("target", type=Path, help="an image or a video to write")
    parser.add_argument("--model", default="default", help="embedded name, model folder, or owner/name on the hub")
    given = parser.parse_args()

    tokenizer = magvit2.Tokenizer.from_pretrained(given.model)
    ids = encode(tokenizer, given.source)
    np.save(given.ids, ids)
    # The bits of an id, least significant first, are the signs of the latent's channels.
    bits = tokenizer.space.ids_to_digits(torch.from_numpy(ids)).numpy()  # [t, h, w, k]
    print(f"ids {ids.shape} of {tokenizer.space.vocab_size}, {np.unique(ids).size} different")
    print(f"share of ones in each bit: {np.array2string(bits.mean(axis=(0, 1, 2)), precision=2)}")

    frames = decode(tokenizer, np.load(given.ids))
    if len(frames) == 1:
        write_image(given.target, frames[0])
        return
    with open_media(given.source) as reader, VideoWriter(given.target, fps=reader.info.fps or 25) as writer:
        for frame in frames:
            writer.write(frame)


if __name__ == "__main__":
    main()
