"""Learning rates by hand, and the moving average by its formula."""

import pytest
import torch
from torch import nn

from magvit2.training import OptimizerConfig
from magvit2.training.schedule import ema_weight, learning_rate, update_ema

COSINE = OptimizerConfig(lr=1.0, final_lr=0.2, warmup_steps=4)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.25),  # a quarter of the way up: never 0
        (1, 0.5),
        (3, 1.0),
        (4, 1.0),
        (9, 0.2 + 0.8 * (1 + 0.5**0.5) / 2),  # a quarter of the way down: cos 45 degrees
        (14, 0.6),  # half way
        (24, 0.2),
        (99, 0.2),
    ],
)
def test_the_rate_rises_linearly_and_falls_along_a_cosine(step: int, rate: float) -> None:
    assert learning_rate(COSINE, step, 24) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("schedule", "rates"), [("linear", (0.8, 0.6, 0.2)), ("constant", (1.0, 1.0, 1.0)), ("cosine", (0.883, 0.6, 0.2))]
)
def test_the_rate_falls_as_its_schedule_says(schedule: str, rates: tuple[float, ...]) -> None:
    config = OptimizerConfig(lr=1.0, final_lr=0.2, warmup_steps=4, schedule=schedule)  # type: ignore[arg-type]
    assert learning_rate(config, 1, 24) == 0.5
    assert [learning_rate(config, step, 24) for step in (9, 14, 24)] == pytest.approx(rates, abs=1e-3)


def test_without_warm_up_the_rate_starts_at_its_peak() -> None:
    assert learning_rate(OptimizerConfig(lr=3.0, warmup_steps=0), 0, 10) == 3.0


def test_a_run_shorter_than_its_warm_up_only_rises() -> None:
    rates = [learning_rate(OptimizerConfig(lr=1.0, warmup_steps=500), step, 10) for step in range(10)]
    assert rates == [pytest.approx((step + 1) / 500) for step in range(10)]


def test_young_averages_forget_faster() -> None:
    assert ema_weight(0.999, 0) == pytest.approx(1 / 10)
    assert ema_weight(0.999, 90) == pytest.approx(0.91)
    assert ema_weight(0.999, 10**6) == 0.999
    assert ema_weight(0.0, 5) == 0.0


def test_the_average_follows_its_formula() -> None:
    model, average = nn.Linear(3, 2), nn.Linear(3, 2).requires_grad_(False)
    expected = [parameter.clone() for parameter in average.parameters()]
    for step in range(30):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(step)
        update_ema(average, model, 0.6, step)
        old = min(0.6, (1 + step) / (10 + step))
        expected = [old * e + (1 - old) * p.detach() for e, p in zip(expected, model.parameters(), strict=True)]
        torch.testing.assert_close(list(average.parameters()), expected)
    assert all(not parameter.requires_grad for parameter in average.parameters())
