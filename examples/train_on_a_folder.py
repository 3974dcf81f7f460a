"""A tokenizer of one's own, trained on a folder of videos; the same command again goes on where it was interrupted.

python examples/train_on_a_folder.py my-videos runs/mine [--steps 1000] [--size 64]

With the defaults it takes some minutes on a CPU and gives a blurred picture: enough to see that it learns. For good
ones, start from a recipe: `magvit2 train tokenizer cpu --data my-videos --out runs/mine`.
"""

import argparse
from pathlib import Path

import magvit2
from magvit2.data.batches import BatchSpec
from magvit2.losses import LossWeights
from magvit2.training import OptimizerConfig, TokenizerTraining, train_tokenizer


def training(num_steps: int, size: int) -> TokenizerTraining:
    """Return a training of the smallest preset on clips of 9 frames, size x size pixels."""
    return TokenizerTraining(
        model=magvit2.tokenizer_preset("tiny"),
        batches=(BatchSpec("video", batch_size=4, num_frames=9, size=size),),
        num_steps=num_steps,
        # The weights for latents of unit length, which our own presets have.
        loss=LossWeights(entropy=0.005, entropy_boost_steps=100, temperature=1.0, commitment=0.05),
        optimizer=OptimizerConfig(lr=1e-3, final_lr=1e-5, beta1=0.9, warmup_steps=50, max_grad_norm=1.0),
        checkpoint_every=100,
    )


def main() -> None:
    """Read the arguments, train, load the model that came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a folder of videos")
    parser.add_argument("out", type=Path, help="the run's folder")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--size", type=int, default=64, help="height and width of the clips, a multiple of 8")
    given = parser.parse_args()

    model = train_tokenizer(training(given.steps, given.size), given.data, given.out)
    tokenizer = magvit2.Tokenizer.from_pretrained(model)
    print(f"{model}: {sum(p.numel() for p in tokenizer.parameters())} parameters, fingerprint {tokenizer.fingerprint}")


if __name__ == "__main__":
    main()
