"""Everything that a training run is told, as one closed configuration; it is written into the run's folder."""

from dataclasses import dataclass
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


@dataclass(frozen=True)
class TokenizerTraining:
    """A complete tokenizer training, apart from where its data lie.

    `precision` is the type of the networks' arithmetic; parameters, optimizer and losses stay in float32. Intervals are
    in steps. `initial` names a model to start from instead of random weights: embedded, a folder, or owner/name on the
    hub; it must have the shape of `model`, or be an image model that inflates to it. `trained` = "decoder" leaves the
    encoder, and so every id, as it is. A batch is computed in `num_parts` equal parts, one after another, whose
    gradients are averaged: less memory, one step. A step whose loss is not finite is left out; after `max_bad_steps` of
    them in a row the run stops. `discriminator` is one for clips and, in 2-D, one for images; its sizes are those of
    the batches. Raises ConfigError for what cannot be.
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
    precision: Literal["fp32", "bf16"] = "bf16"
    trained: Literal["all", "decoder"] = "all"
    num_parts: int = 1
    ema_decay: float = 0.999
    seed: int = 0
    num_workers: int = 1
    log_every: int = 20
    sample_every: int = 500
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    max_bad_steps: int = 10
    initial: str | None = None

    def __post_init__(self) -> None:
        if not self.batches or self.num_steps < 1:
            raise ConfigError("a training needs at least one kind of batch and one step")
        for name in ("log_every", "sample_every", "checkpoint_every", "keep_checkpoints", "max_bad_steps", "num_parts"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}: expected 1 or more")
        if self.num_workers < 0:
            raise ConfigError(f"num_workers = {self.num_workers}: expected 0 or more")
        for batch in self.batches:
            self._check_batch(batch)
        if self.bit_dropping.probability > 0:
            self._check_bits()

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
