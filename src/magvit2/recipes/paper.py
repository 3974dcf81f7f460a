r"""The paper's own trainings of tokenizers, as far as they are published. None of them has been run.

    torchrun --nproc-per-node 8 --no-python magvit2 train tokenizer paper-imagenet-128 --data IMAGENET \\
        --out runs/paper-imagenet-128 --device cuda --nets NETS
    torchrun ... paper-k600 --data K600 --out runs/paper-k600 --set initial=runs/paper-imagenet-128/model

NETS holds torchvision's ResNet-50, whose logits the perceptual loss compares. Sections 3.1 and 4.1, tables 5 and 7 and
appendix A.1 of arXiv 2310.05737; what they do not say is said here: the learning rate's warm-up, UCF-101's epochs
(2,000, as the first MAGVIT's), and for videos the data set's usual number of clips.
"""

import dataclasses
from types import MappingProxyType

from magvit2.adversarial import AdversarialWeights, DiscriminatorConfig
from magvit2.data.batches import BatchSpec
from magvit2.losses import LossWeights, PerceptualWeights
from magvit2.tokenizer import tokenizer_preset
from magvit2.training import OptimizerConfig, TokenizerTraining

_BATCH = 256
_IMAGENET, _K600, _UCF101 = 1_281_167, 384_000, 9_537
_ADAM = OptimizerConfig(lr=1e-4, beta1=0.0, beta2=0.99, warmup_steps=5000)


def _training(preset: str, batch: BatchSpec, epochs: int, num_items: int) -> TokenizerTraining:
    """Return a training of so many epochs with every published weight of the objective."""
    return TokenizerTraining(
        model=tokenizer_preset(preset),
        batches=(batch,),
        num_steps=epochs * num_items // _BATCH,
        loss=LossWeights(),
        perceptual=PerceptualWeights("resnet50-logits", weight=0.1),
        adversarial=AdversarialWeights(),
        discriminator=DiscriminatorConfig(),
        optimizer=_ADAM,
        discriminator_optimizer=_ADAM,
        num_workers=8,
        log_every=100,
        sample_every=5000,
        validate_every=5000,
        checkpoint_every=5000,
    )


def _images(preset: str, size: int) -> TokenizerTraining:
    return _training(preset, BatchSpec("image", _BATCH, num_frames=1, size=size, least_area=0.8), 270, _IMAGENET)


def _videos(epochs: int, num_items: int) -> TokenizerTraining:
    recipe = _training("video-128", BatchSpec("video", _BATCH, num_frames=17, size=128), epochs, num_items)
    return dataclasses.replace(recipe, initial="runs/paper-imagenet-128/model")


PAPER_RECIPES = MappingProxyType(
    {
        "paper-imagenet-128": _images("image-128", 128),
        "paper-imagenet-256": _images("image-256", 256),
        "paper-imagenet-512": _images("image-512", 512),
        "paper-k600": _videos(190, _K600),
        "paper-ucf101": _videos(2000, _UCF101),
    }
)
"""Every one by its name."""
