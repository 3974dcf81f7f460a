"""What is masked: schedules against their formulas, conditions of every task, corrupted inputs."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from magvit2.errors import InputError
from magvit2.lm.masking import TASKS, Task, corrupted, known_positions, mask_ratio, random_mask, shown_condition

GRID = (4, 6, 5)
grids = st.tuples(st.integers(3, 6), st.integers(2, 8), st.integers(2, 8))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("cosine", math.sqrt(0.5)),
        ("linear", 0.5),
        ("square", 0.75),
        ("cubic", 0.875),
        ("sqrt", 1 - math.sqrt(0.5)),
        ("arccos", 2 / 3),
        ("exp", 0.9),
    ],
)
def test_schedules_go_from_all_to_nothing(schedule: str, expected: float) -> None:
    assert mask_ratio(schedule, 0.5, 100) == pytest.approx(expected)  # type: ignore[arg-type]
    shares = [mask_ratio(schedule, step / 20, 100) for step in range(21)]  # type: ignore[arg-type]
    assert shares[0] >= 0.99 and shares[-1] == pytest.approx(0, abs=1e-12)
    assert all(a > b for a, b in itertools.pairwise(shares))


@given(st.sampled_from(TASKS), grids, st.integers(0, 99))
def test_tasks_leave_something_to_do(task: Task, grid: tuple[int, int, int], seed: int) -> None:
    known = known_positions(task, grid, np.random.default_rng(seed))
    assert known.shape == grid and not known.all()
    assert known.any() == (task != "class")
    in_time = known.all(axis=(1, 2)) if task in ("predict", "interpolate") else known.any(axis=0)
    if task == "predict":
        assert np.array_equal(known, np.broadcast_to(in_time[:, None, None], grid))
        assert list(in_time) == sorted(in_time, reverse=True)
    elif task == "interpolate":
        assert list(in_time) == [True] + [False] * (grid[0] - 2) + [True]
    elif task in ("inpaint", "outpaint"):
        box = in_time if task == "outpaint" else ~in_time
        assert (known == known[0]).all()  # the same box at all times
        rows, columns = box.any(axis=1), box.any(axis=0)
        assert np.array_equal(box, rows[:, None] & columns[None]) and not box.all()


def test_tasks_in_time_need_time() -> None:
    with pytest.raises(InputError, match=r"'predict' on a grid \(1, 8, 8\): expected 2 latents"):
        known_positions("predict", (1, 8, 8), np.random.default_rng(0))
    with pytest.raises(InputError, match=r"'interpolate'.*expected 3 latents"):
        known_positions("interpolate", (2, 8, 8), np.random.default_rng(0))


@given(st.floats(0, 1), st.booleans(), st.integers(0, 99))
def test_a_share_of_the_unknown_is_masked_and_nothing_known(ratio: float, by_factor: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    known = known_positions("predict", GRID, rng)
    mask = random_mask(known, ratio, 3, rng, by_factor=by_factor)
    assert mask.shape == (*GRID, 3) and not mask[known].any()
    units = (~known).sum() * (3 if by_factor else 1)
    assert mask.sum() == max(1, math.ceil(ratio * units)) * (1 if by_factor else 3)
    if not by_factor:
        assert (mask.all(axis=-1) == mask.any(axis=-1)).all()


def test_masked_factors_show_a_mask_or_the_condition() -> None:
    factors = torch.arange(8).view(1, 1, 2, 2, 2)
    values = torch.tensor([50, 60])
    mask = torch.tensor([True, False, True, False]).view(1, 1, 2, 2, 1).expand(1, 1, 2, 2, 2)
    assert corrupted(factors, mask, values).flatten().tolist() == [50, 60, 2, 3, 50, 60, 6, 7]
    covered = torch.tensor([True, True, False, False]).view(1, 1, 2, 2)
    shown = shown_condition(factors + 100, covered, values)
    assert corrupted(factors, mask, values, shown).flatten().tolist() == [100, 101, 2, 3, 50, 60, 6, 7]
