"""What one pass of a tokenizer's training computes: decoded clips, and every term of both sides' losses.

The terms that a pass returns are weighted and add up to its loss; what is logged beside them is unweighted. Chance (how
many bits a clip keeps, which frames the perceptual network sees) is a pure function of (seed, step).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from magvit2.adversarial import Adversary, Discriminator, DiscriminatorTerms, adversarial_weight
from magvit2.errors import ConfigError
from magvit2.losses import Distance, open_perceptual, perceptual_loss, pick_frames, tokenizer_loss
from magvit2.quantizers import Quantized
from magvit2.tokenizer import Tokenizer
from magvit2.training.checkpoint import TrainingState
from magvit2.training.compilation import compile_networks
from magvit2.training.config import TokenizerTraining
from magvit2.training.distributed import mean_over_ranks, rank, world_size

_LOW_PRECISION = {"bf16": torch.bfloat16, "fp16": torch.float16}

_CHANCE = 1
"""Tells this module's draws from those of the data, which come from (seed, step) too."""


class Draws(NamedTuple):
    """What chance says of a batch: how many bits each clip keeps (None: all), and which frames are looked at."""

    num_bits: Int[Tensor, " b"] | None
    frames: Int[Tensor, "b n"]

    def chunk(self, num_parts: int) -> "list[Draws]":
        """Return the draws of equal parts of the batch."""
        bits = [None] * num_parts if self.num_bits is None else self.num_bits.chunk(num_parts)
        return [Draws(*part) for part in zip(bits, self.frames.chunk(num_parts), strict=True)]


class Pass(NamedTuple):
    """Clips in [-1, 1], what they became, and the loss: `terms` are weighted, `values` unweighted, all scalars."""

    clips: Float[Tensor, "b 3 T H W"]
    decoded: Float[Tensor, "b 3 T H W"]
    quantized: Quantized
    terms: dict[str, Tensor]
    values: dict[str, Tensor]

    @property
    def total(self) -> Float[Tensor, ""]:
        """The loss."""
        return torch.stack(list(self.terms.values())).sum()


@dataclass(frozen=True)
class Objective:
    """The losses of a training: what is the same at every step."""

    config: TokenizerTraining
    distance: Distance | None

    def draw(self, step: int, clips_u8: UInt8[Tensor, "b 3 T H W"]) -> Draws:
        """Return what chance says of this process's share of the batch of a step."""
        rng = np.random.default_rng((self.config.seed, step, _CHANCE))
        count, length = clips_u8.shape[0] * world_size(), clips_u8.shape[2]
        frames = pick_frames(count, length, self.config.perceptual.num_frames, rng)
        return Draws(self._bits_of(step, count, rng), frames).chunk(world_size())[rank()]

    def _bits_of(self, step: int, count: int, rng: np.random.Generator) -> Int[Tensor, " b"] | None:
        dropping, most = self.config.bit_dropping, self.config.model.num_bits
        if dropping.probability == 0 or step < dropping.start_step:
            return None
        drops = rng.random(count) < dropping.probability
        return torch.from_numpy(np.where(drops, rng.integers(dropping.least, most, count), most))

    def forward(
        self,
        step: int,
        clips_u8: UInt8[Tensor, "b 3 T H W"],
        draws: Draws,
        state: TrainingState[Tokenizer],
        judge: Adversary | None,
    ) -> Pass:
        """Return the pass of clips 0..255 through the model, with the generator's terms."""
        device = state.model.device
        clips = to_range(clips_u8, device)
        with self._autocast(device):
            bits = None if draws.num_bits is None else draws.num_bits.to(device)
            decoded, quantized = state.network(clips, bits)
            terms, values = self._own_terms(step, decoded, clips, quantized, state.model.quantizer.code_size)
            if self.distance is not None:
                values["perceptual"] = perceptual_loss(self.distance, decoded.float(), clips, draws.frames)
                terms["perceptual"] = self.config.perceptual.weight * values["perceptual"]
            weight = adversarial_weight(self.config.adversarial, step)
            if judge is not None and weight > 0:
                values["adversarial"] = judge.generator_loss(decoded.float())
                terms["adversarial"] = weight * values["adversarial"]
        return Pass(clips, decoded, quantized, terms, values)

    def judge(self, step: int, done: Pass, judge: Adversary) -> DiscriminatorTerms:
        """Return the discriminator's terms of a pass."""
        with self._autocast(done.clips.device):
            return judge.discriminator_terms(done.clips, done.decoded.float(), step, mean_over_ranks=mean_over_ranks)

    def _autocast(self, device: torch.device) -> torch.autocast:
        """Return a block in which networks compute as `precision` says."""
        dtype = _LOW_PRECISION.get(self.config.precision)
        return torch.autocast(device.type, dtype, enabled=dtype is not None)

    def _own_terms(
        self, step: int, decoded: Tensor, clips: Tensor, quantized: Quantized, code_size: float | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the weighted and the unweighted terms that need no other network."""
        found = tokenizer_loss(
            decoded, clips, quantized, self.config.loss, code_size=code_size, mean_over_ranks=mean_over_ranks
        )
        return found.weighted(self.config.loss, step), found._asdict()


def make_objective(config: TokenizerTraining, nets: Path | None, device: str) -> Objective:
    """Return the objective of a training, its perceptual network read from the folder `nets`.

    Raises MissingNetworkError where its file is not there, FormatError where it is another, TrainingError where it is
    to be compiled and cannot be.
    """
    distance = open_perceptual(config.perceptual, nets)
    if distance is None:
        return Objective(config, None)
    distance = distance.to(device)
    if config.compile:
        compile_networks([distance], device, len(config.batches))
    return Objective(config, distance)


def make_adversaries(config: TokenizerTraining) -> nn.ModuleDict:
    """Return a new adversary for each kind of batch, `video` or `image`; none where its weight is 0.

    Raises ConfigError where a discriminator that flattens would meet clips of several sizes.
    """
    if config.adversarial.weight == 0:
        return nn.ModuleDict()
    sizes: dict[str, set[tuple[int, int]]] = {}
    for batch in config.batches:
        sizes.setdefault(judge_name(batch.num_frames), set()).add((batch.num_frames, batch.size))
    return nn.ModuleDict({name: _adversary(config, name, sizes[name]) for name in sorted(sizes)})


def judge_name(num_frames: int) -> str:
    """Return the name of the adversary that clips of so many frames have."""
    return "image" if num_frames == 1 else "video"


def _adversary(config: TokenizerTraining, name: str, sizes: set[tuple[int, int]]) -> Adversary:
    if config.discriminator.head == "flatten" and len(sizes) > 1:
        raise ConfigError(
            f"discriminator.head = 'flatten' takes clips of one size; the {name} batches have {sorted(sizes)}: "
            "expected one of them, or discriminator.head=pool"
        )
    length, side = max(sizes)
    shape = replace(config.discriminator, num_frames=length, height=side, width=side)
    discriminator = Discriminator(shape)
    discriminator.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return Adversary(discriminator, config.adversarial)


def to_range(clips_u8: UInt8[Tensor, "b 3 T H W"], device: torch.device) -> Float[Tensor, "b 3 T H W"]:
    """Return clips 0..255 in [-1, 1], where the model is and as its convolutions like them."""
    clips = clips_u8.to(device).float().div_(127.5).sub_(1)
    return clips.contiguous(memory_format=torch.channels_last_3d)


def last_layer_norms(model: Tokenizer, done: Pass, scale: float = 1.0) -> dict[str, Tensor]:
    """Return each weighted term's gradient norm at the decoder's last layer: how strongly it pulls at the pixels.

    Terms that do not see the pixels are left out. The graph stays. Gradients are `scale` times larger on their way.
    """
    norms = {}
    for name, term in done.terms.items():
        if term.requires_grad:
            (pixels,) = torch.autograd.grad(scale * term, done.decoded, retain_graph=True, allow_unused=True)
            if pixels is not None:
                (gradient,) = torch.autograd.grad(done.decoded, model.decoder.head.weight, pixels, retain_graph=True)
                norms[name] = gradient.float().norm() / scale
    return norms
