"""Everything that a training run is told, as one closed configuration; it is written into the run's folder."""

from dataclasses import dataclass, replace
from typing import Literal

from magvit2.adversarial import AdversarialWeights, DiscriminatorConfig
from magvit2.data.batches import BatchSpec
from magvit2.errors import ConfigError
from magvit2.losses import LossWeights, PerceptualWeights
from magvit2.tokenizer import TokenizerConfig


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW: linear warm-up, then `schedule` down to `final_lr`; gradients clipped at `max_grad_norm` (0: never).

    A `constant` schedule stays at `lr`. With `kind` "muon" the matrices inside the network move by Muon: orthogonal
    steps, `muon_boost` times as long as AdamW's would be; the rest stays with AdamW.
    """

    kind: Literal["adamw", "muon"] = "adamw"
    lr: float = 1e-4
    final_lr: float = 0.0
    beta1: float = 0.0
    beta2: float = 0.99
    weight_decay: float = 0.0
    warmup_steps: int = 500
    max_grad_norm: float = 0.0
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    muon_boost: float = 2.0
    muon_momentum: float = 0.95


@dataclass(frozen=True)
class BitDropping:
    """From `start_step` on a clip keeps, with `probability`, only its lowest n bits, n uniform from `least` up.

    Such a model decodes from any number of bits from `least` on (`decode(num_bits=)`): one model, many rates. Of a
    model with k bits n is k - 1 at most. The entropy and commitment terms see all bits.
    """

    probability: float = 0.0
    least: int = 6
    start_step: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1 or self.least < 1 or self.start_step < 0:
            raise ConfigError(f"{self}: expected a probability of 0 to 1, one bit or more, a step of 0 or more")


_POSITIVE = (
    "log_every",
    "sample_every",
    "validate_items",
    "checkpoint_every",
    "keep_checkpoints",
    "max_bad_steps",
    "num_parts",
)


@dataclass(frozen=True)
class ImagePretraining:
    """What comes before a video model: its 2-D twin, trained on batches of images for so many steps (appendix A.1)."""

    batches: tuple[BatchSpec, ...]
    num_steps: int


@dataclass(frozen=True)
class TokenizerTraining:
    """A complete tokenizer training, apart from where its data lie.

    `precision` is the type of the networks' arithmetic; parameters, optimizer and losses stay in float32, and with fp16
    the losses are scaled. `compile` has torch.compile translate the networks. With `checkpoint_activations` the
    backward pass computes the tokenizer's layers again instead of keeping what they gave. Intervals are in steps.
    `initial` names a model to start from instead of random weights: embedded, a folder, or owner/name on the hub; it
    must have the shape of `model`, or be an image model that inflates to it. With a `pretraining` the model is inflated
    from one that was trained on images first. `trained` = "decoder" leaves the encoder,
    and so every id, as it is. A batch is computed in `num_parts` equal parts, one after another, whose gradients are
    averaged: less memory, one step. A step whose loss is not finite is left out; after `max_bad_steps` of them in a row
    the run stops. `discriminator` is one for clips and, in 2-D, one for images; its sizes are those of the batches. The
    average is validated on `validate_items` held-out items every `validate_every` steps and at the
    last (0: never). Raises ConfigError for what cannot be.
    """

    model: TokenizerConfig
    batches: tuple[BatchSpec, ...]
    num_steps: int
    loss: LossWeights = LossWeights()  # noqa: RUF009 - frozen
    perceptual: PerceptualWeights = PerceptualWeights()  # noqa: RUF009 - frozen
    adversarial: AdversarialWeights = AdversarialWeights(weight=0.0)  # noqa: RUF009 - frozen
    discriminator: DiscriminatorConfig = DiscriminatorConfig(head="pool")  # noqa: RUF009 - frozen
    bit_dropping: BitDropping = BitDropping()
    optimizer: OptimizerConfig = OptimizerConfig()
    discriminator_optimizer: OptimizerConfig = OptimizerConfig()
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    compile: bool = False
    checkpoint_activations: bool = False
    trained: Literal["all", "decoder"] = "all"
    num_parts: int = 1
    ema_decay: float = 0.999
    seed: int = 0
    num_workers: int = 1
    log_every: int = 20
    sample_every: int = 500
    validate_every: int = 500
    validate_items: int = 16
    tensorboard: bool = False
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    max_bad_steps: int = 10
    initial: str | None = None
    pretraining: ImagePretraining | None = None

    def __post_init__(self) -> None:
        if not self.batches or self.num_steps < 1:
            raise ConfigError("a training needs at least one kind of batch and one step")
        for name in _POSITIVE:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}: expected 1 or more")
        for name in ("num_workers", "validate_every"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} = {getattr(self, name)}: expected 0 or more")
        for batch in self.batches:
            self._check_batch(batch)
        if self.bit_dropping.probability > 0:
            self._check_bits()
        if self.compile and self.checkpoint_activations and self.model.norm != "position":
            raise ConfigError(  # in torch 2.13 an index of the second pass has no range: "vr must not be None"
                "compile with checkpoint_activations needs a model that normalises positions, as torch.compile fails "
                f"at others; the model's norm is {self.model.norm!r}: give up one of the two settings"
            )
        if self.pretraining is not None:
            self._check_pretraining()

    def _check_batch(self, batch: BatchSpec) -> None:
        size = (batch.num_frames, batch.size, batch.size)
        fits = self.model.space.valid_size(size)
        if fits != size:
            raise ConfigError(f"{batch.kind} batches of size {size} do not fill latent positions; {fits} would")
        if batch.batch_size % self.num_parts:
            raise ConfigError(f"{batch.kind} batches of {batch.batch_size} cannot be cut into {self.num_parts} parts")

    def _check_bits(self) -> None:
        if self.model.quantizer not in ("lfq", "bsq") or self.bit_dropping.least >= self.model.num_bits:
            raise ConfigError(
                f"bit_dropping.least = {self.bit_dropping.least}: expected a binary quantizer of more bits than that; "
                f"the model's is {self.model.quantizer} of {self.model.num_bits}"
            )

    def _check_pretraining(self) -> None:
        if self.initial is not None:
            raise ConfigError(f"initial = {self.initial!r} beside a pretraining: expected one of them")
        if self.model.is_image or not self.model.is_causal:
            raise ConfigError("a pretraining on images needs a causal video model, which it is inflated to")
        assert self.image_stage is not None  # raises for batches that no image model takes

    @property
    def image_stage(self) -> "TokenizerTraining | None":
        """The training that comes first, of the model's 2-D twin and otherwise like this one; None if there is none."""
        if self.pretraining is None:
            return None
        flat = replace(self.model, is_image=True, temporal_downsample=(False,) * len(self.model.temporal_downsample))
        first = self.pretraining
        return replace(
            self, model=flat, batches=first.batches, num_steps=first.num_steps, pretraining=None, trained="all",
            bit_dropping=BitDropping(),
        )  # fmt: skip
