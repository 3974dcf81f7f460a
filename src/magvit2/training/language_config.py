"""Everything that the training of a language model is told; it is written into the run's folder."""

from dataclasses import dataclass
from typing import Any, Literal

from magvit2.data.batches import BatchSpec
from magvit2.errors import ConfigError
from magvit2.layers.transformer import TransformerConfig
from magvit2.lm import CausalLMConfig, LMConfig, MaskedLMConfig
from magvit2.lm.masking import MaskSchedule, Task
from magvit2.training.config import OptimizerConfig
from magvit2.training.language_source import Vocabulary

_POSITIVE = ("batch_size", "log_every", "sample_every", "validate_items", "checkpoint_every", "keep_checkpoints")


@dataclass(frozen=True)
class TaskShare:
    """A task that a masked model learns, drawn with probability proportional to `weight`.

    What it gives is clean ids that are never masked or, with `commit`, the ids of its pixels, padded to a whole clip,
    in place of masks (MAGVIT's COMMIT); the latter needs pixels, not shards.
    """

    task: Task = "class"
    weight: float = 1.0
    commit: bool = False

    def __post_init__(self) -> None:
        if self.weight <= 0:
            raise ConfigError(f"task {self.task!r} of weight {self.weight}: expected more than 0")
        if self.commit and self.task == "class":
            raise ConfigError("task 'class' gives nothing: commit has nothing to show")

    @property
    def name(self) -> str:
        """What the model calls it."""
        return f"{self.task}-commit" if self.commit else self.task


@dataclass(frozen=True)
class LanguageTraining:
    """A complete training of a masked or a causal language model, apart from where its tokens come from.

    They are rows of token shards, `batch_size` of one grid at a time, or what `tokenizer` makes of `batches` of a
    source of videos and images. `tokens`, `tasks`, `schedule`, `unit` and `scored` are a masked model's: what is
    embedded, what it learns to do, how much of it is masked (r uniform, the share ratio(r), of each clip its own),
    whether whole tokens or single factors are, and whether the loss counts masked positions or all that were not given.
    `is_tied` is a causal model's. A clip loses its class with probability `label_dropout`. The rest as in a tokenizer's
    training; weight decay leaves biases, norms and embeddings alone. Raises ConfigError for what cannot be.
    """

    kind: Literal["masked", "causal"] = "masked"
    transformer: TransformerConfig = TransformerConfig()  # noqa: RUF009 - frozen
    num_steps: int = 1000
    num_factors: int = 2
    tokens: Literal["factors", "bits"] = "factors"
    is_tied: bool = False
    tasks: tuple[TaskShare, ...] = (TaskShare(),)
    schedule: MaskSchedule = "cosine"
    unit: Literal["token", "factor"] = "token"
    scored: Literal["masked", "all"] = "masked"
    label_dropout: float = 0.1
    label_smoothing: float = 1e-4
    batch_size: int = 32
    batches: tuple[BatchSpec, ...] = ()
    tokenizer: str = "default"
    optimizer: OptimizerConfig = OptimizerConfig(  # noqa: RUF009 - frozen
        lr=1e-4, beta1=0.9, beta2=0.96, weight_decay=0.045, warmup_steps=5000, max_grad_norm=1.0
    )
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    num_parts: int = 1
    ema_decay: float = 0.999
    seed: int = 0
    num_workers: int = 1
    log_every: int = 20
    sample_every: int = 500
    sample_steps: int = 12
    validate_every: int = 500
    validate_items: int = 64
    tensorboard: bool = False
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    max_bad_steps: int = 10
    initial: str | None = None

    def __post_init__(self) -> None:
        for name in (*_POSITIVE, "num_steps", "num_parts", "sample_steps", "max_bad_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}: expected 1 or more")
        if not 0 <= self.label_dropout <= 1 or not 0 <= self.label_smoothing < 1:
            raise ConfigError(
                f"label_dropout = {self.label_dropout}, label_smoothing = {self.label_smoothing}: expected 0 to 1"
            )
        if not self.tasks:
            raise ConfigError("a training needs at least one task")
        if self.kind == "causal" and (self.tokens == "bits" or self.tasks != (TaskShare(),)):
            raise ConfigError("tokens = 'bits' and tasks other than 'class' are a masked model's; kind is 'causal'")
        if len(set(self.task_names)) < len(self.tasks):
            raise ConfigError(f"tasks {', '.join(self.task_names)}: expected each once")

    @property
    def task_names(self) -> tuple[str, ...]:
        """The names of the tasks."""
        return tuple(share.name for share in self.tasks)

    def model(self, vocabulary: Vocabulary) -> LMConfig:
        """Return the configuration of the model for the tokens of a source."""
        common: dict[str, Any] = {
            "space": vocabulary.space,
            "grid": vocabulary.grid,
            "num_factors": self.num_factors,
            "num_classes": len(vocabulary.class_names),
            "class_names": vocabulary.class_names,
            "tokenizer": vocabulary.fingerprint,
            "transformer": self.transformer,
        }
        if self.kind == "causal":
            return CausalLMConfig(**common, is_tied=self.is_tied)
        tasks = self.task_names if len(self.tasks) > 1 else ()
        return MaskedLMConfig(**common, tokens=self.tokens, tasks=tasks)
