"""What is masked: schedules of the masked share, conditions by task, and corrupted inputs for training.

A task says which positions of a clip are given: none ("class"), the first latents ("predict"), the first and the last
("interpolate"), all but a box ("inpaint"), a box alone ("outpaint"). Given positions are clean, never masked, never
scored, as latents of a causal tokenizer do not see what comes after them. The tasks of MAGVIT's COMMIT (arXiv
2212.05199, section 3.2) give the ids of the condition's pixels instead, padded to a whole clip: where a position covers
such pixels, its masked token shows the condition's id, and it is refined like any other.
"""

import math
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from magvit2.errors import InputError
from magvit2.geometry import Size

MaskSchedule = Literal["cosine", "linear", "square", "cubic", "sqrt", "arccos", "exp"]
Task = Literal["class", "predict", "interpolate", "inpaint", "outpaint"]
TASKS: tuple[Task, ...] = get_args(Task)

_LEAST_SIDE, _MOST_SIDE = 0.3, 0.8  # of a box, as a share of the grid's side


def mask_ratio(schedule: MaskSchedule, progress: float, num_tokens: int) -> float:
    """Return the share of `num_tokens` that is masked when `progress` (0 to 1) is done: 1 at 0, about 0 at 1.

    cosine cos(pi r / 2), linear 1 - r, square 1 - r^2, cubic 1 - r^3, sqrt 1 - sqrt(r), arccos 2 arccos(r) / pi, exp
    1 - N^(r - 1). MaskGIT, figure 8; MAGVIT's released code.
    """
    if schedule == "cosine":
        return math.cos(math.pi * progress / 2)
    if schedule == "arccos":
        return math.acos(progress) * 2 / math.pi
    if schedule == "exp":
        return 1 - num_tokens ** (progress - 1)
    return 1 - progress ** {"linear": 1.0, "square": 2.0, "cubic": 3.0, "sqrt": 0.5}[schedule]


def known_positions(task: Task, grid: Size, rng: np.random.Generator) -> Bool[np.ndarray, "t h w"]:
    """Return which positions a clip of a task gives; of a box or a number of latents, a random one.

    Tasks in time need two latents or more, and give at least one and not all. Raises InputError on a grid too small.
    """
    known = np.zeros(grid, dtype=bool)
    if task in ("predict", "interpolate") and grid[0] < (least := 2 if task == "predict" else 3):
        raise InputError(f"task {task!r} on a grid {grid}: expected {least} latents in time or more")
    if task == "predict":
        known[: rng.integers(1, grid[0])] = True
    elif task == "interpolate":
        known[[0, -1]] = True
    elif task in ("inpaint", "outpaint"):
        known[:, *_box(grid, rng)] = True
        known = known if task == "outpaint" else ~known
    return known


def _box(grid: Size, rng: np.random.Generator) -> tuple[slice, slice]:
    sides = [max(1, min(side - 1, round(side * rng.uniform(_LEAST_SIDE, _MOST_SIDE)))) for side in grid[1:]]
    starts = [int(rng.integers(whole - side + 1)) for whole, side in zip(grid[1:], sides, strict=True)]
    return slice(starts[0], starts[0] + sides[0]), slice(starts[1], starts[1] + sides[1])


class Condition(NamedTuple):
    """Ids of padded condition pixels, and the positions that cover some of those pixels (COMMIT)."""

    ids: Int[Tensor, "b t h w"]
    is_covered: Bool[Tensor, "b t h w"]


def corrupted(
    factors: Int[Tensor, "b t h w f"],
    is_masked: Bool[Tensor, "b t h w f"],
    mask_values: Int[Tensor, " f"],
    shown: Int[Tensor, "b t h w f"] | None = None,
) -> Int[Tensor, "b t h w f"]:
    """Return factors with masked ones replaced: by their mask value, or by what is `shown` of a condition there."""
    return torch.where(is_masked, mask_values if shown is None else shown, factors)


def shown_condition(
    condition_factors: Int[Tensor, "b t h w f"], is_covered: Bool[Tensor, "b t h w"], mask_values: Int[Tensor, " f"]
) -> Int[Tensor, "b t h w f"]:
    """Return what COMMIT shows in place of masked tokens: the condition's factors where it covers, else masks."""
    return torch.where(is_covered[..., None], condition_factors, mask_values)


def random_mask(
    known: Bool[np.ndarray, "t h w"],
    ratio: float,
    num_factors: int,
    rng: np.random.Generator,
    *,
    by_factor: bool = False,
) -> Bool[np.ndarray, "t h w f"]:
    """Return a random share of the unknown tokens to mask, one at least; of their factors with `by_factor`."""
    units = np.repeat(~known[..., None], num_factors if by_factor else 1, axis=-1)
    places = np.flatnonzero(units)
    count = max(1, math.ceil(ratio * len(places)))
    masked = np.zeros(units.size, dtype=bool)
    masked[rng.choice(places, count, replace=False)] = True
    return np.broadcast_to(masked.reshape(units.shape), (*known.shape, num_factors)).copy()
