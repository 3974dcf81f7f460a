"""Everything that a training run is told, as one closed configuration; it is written into the run's folder."""

from dataclasses import dataclass
from typing import Literal

from magvit2.data.batches import BatchSpec
from magvit2.errors import ConfigError
from magvit2.losses import LossWeights
from magvit2.tokenizer import TokenizerConfig


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with linear warm-up and cosine decay to `final_lr`; gradients clipped at `max_grad_norm` (0: never)."""

    lr: float = 1e-4
    final_lr: float = 0.0
    beta1: float = 0.0
    beta2: float = 0.99
    weight_decay: float = 0.0
    warmup_steps: int = 500
    max_grad_norm: float = 0.0


@dataclass(frozen=True)
class TokenizerTraining:
    """A complete tokenizer training, apart from where its data lie.

    `precision` is the type of the networks' arithmetic; parameters, optimizer and losses stay in float32. Intervals are
    in steps. `initial` names a model to start from instead of random weights: embedded, a folder, or owner/name on the
    hub; it must have the shape of `model`, or be an image model that inflates to it. Raises
    ConfigError where a batch does not fill whole latent positions.
    """

    model: TokenizerConfig
    batches: tuple[BatchSpec, ...]
    num_steps: int
    loss: LossWeights = LossWeights()  # noqa: RUF009 - frozen
    optimizer: OptimizerConfig = OptimizerConfig()
    precision: Literal["fp32", "bf16"] = "bf16"
    ema_decay: float = 0.999
    seed: int = 0
    num_workers: int = 1
    log_every: int = 20
    sample_every: int = 500
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    initial: str | None = None

    def __post_init__(self) -> None:
        if not self.batches or self.num_steps < 1:
            raise ConfigError("a training needs at least one kind of batch and one step")
        if min(self.log_every, self.sample_every, self.checkpoint_every, self.keep_checkpoints) < 1:
            raise ConfigError("log_every, sample_every, checkpoint_every and keep_checkpoints: expected 1 or more")
        if self.num_workers < 0:
            raise ConfigError(f"num_workers = {self.num_workers}: expected 0 or more")
        for batch in self.batches:
            size = (batch.num_frames, batch.size, batch.size)
            fits = self.model.space.valid_size(size)
            if fits != size:
                raise ConfigError(f"{batch.kind} batches of size {size} do not fill latent positions; {fits} would")
