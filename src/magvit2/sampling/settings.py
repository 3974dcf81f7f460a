"""How to sample: guidance by a class, and the settings of masked and of causal sampling."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from magvit2.errors import ConfigError
from magvit2.lm.masking import MaskSchedule

GuidanceSchedule = Literal["constant", "linear", "power-cosine"]
MaskUnit = Literal["token", "factor"]
MAX_STEPS = 256


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance: logits + s (logits - logits without a class); a scale s of 0 is none.

    The scale is `scale` at every step ("constant"), or rises to it with the progress p, 0 to 1, of sampling: `scale` p
    ("linear"), `scale` (1 - cos(pi p^`power`)) / 2 ("power-cosine": MDT, arXiv 2303.14389). Others count from 1, their
    logits being without + s' (with - without): s = s' - 1. Raises ConfigError for what cannot be.
    """

    scale: float = 0.0
    schedule: GuidanceSchedule = "constant"
    power: float = 4.0

    def __post_init__(self) -> None:
        if not 0 <= self.scale < math.inf or not 0 < self.power < math.inf:
            raise ConfigError(f"guidance of scale {self.scale}, power {self.power}: expected 0 or more, and above 0")
        if self.schedule not in get_args(GuidanceSchedule):
            known = ", ".join(get_args(GuidanceSchedule))
            raise ConfigError(f"guidance schedule {self.schedule!r}: expected one of {known}")

    def at(self, progress: float) -> float:
        """Return the scale when `progress`, 0 to 1, is done."""
        if self.schedule == "constant":
            return self.scale
        if self.schedule == "linear":
            return self.scale * progress
        return self.scale * (1 - math.cos(math.pi * progress**self.power)) / 2


@dataclass(frozen=True)
class MaskedSampling:
    """Settings of masked sampling.

    `num_steps` passes of the model, 1 to 256; `schedule` says which share is still masked after each. Factors are drawn
    from softmax(logits / `temperature`), of it the `top_k` likeliest values, of those the fewest that together reach
    `top_p`. `choice_temperature` scales the noise in what is kept; it falls linearly to 0, and is what papers call the
    temperature. `unit` is what is kept or masked again: a whole "token", or each "factor" by itself (MaskBit, arXiv
    2409.16211; for models of bits). Raises ConfigError for what cannot be.
    """

    num_steps: int = 12
    schedule: MaskSchedule = "cosine"
    temperature: float = 1.0
    choice_temperature: float = 4.5
    top_k: int | None = None
    top_p: float | None = None
    guidance: Guidance = field(default_factory=Guidance)
    unit: MaskUnit = "token"

    def __post_init__(self) -> None:
        _check_choice(self.temperature, self.top_k, self.top_p)
        if not 1 <= self.num_steps <= MAX_STEPS:
            raise ConfigError(f"num_steps = {self.num_steps}: expected 1 to {MAX_STEPS}")
        if not 0 <= self.choice_temperature < math.inf:
            raise ConfigError(f"choice_temperature = {self.choice_temperature}: expected 0 or more")
        for name, value, known in (
            ("schedule", self.schedule, get_args(MaskSchedule)),
            ("unit", self.unit, get_args(MaskUnit)),
        ):
            if value not in known:
                raise ConfigError(f"{name} = {value!r}: expected one of {', '.join(known)}")


@dataclass(frozen=True)
class CausalSampling:
    """Settings of causal sampling: `temperature`, `top_k`, `top_p` and `guidance` as in `MaskedSampling`."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    guidance: Guidance = field(default_factory=Guidance)

    def __post_init__(self) -> None:
        _check_choice(self.temperature, self.top_k, self.top_p)


def _check_choice(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if not 0 < temperature < math.inf:
        raise ConfigError(f"temperature = {temperature}: expected more than 0; top_k = 1 takes the likeliest value")
    if top_k is not None and top_k < 1:
        raise ConfigError(f"top_k = {top_k}: expected 1 or more, or none")
    if top_p is not None and not 0 < top_p <= 1:
        raise ConfigError(f"top_p = {top_p}: expected more than 0 and at most 1, or none")
