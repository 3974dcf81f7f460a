"""What is seen of a run: a line now and then where no terminal is, and how the codebook is used of late."""

import dataclasses
from pathlib import Path

import pytest
import torch

from magvit2.training import train_tokenizer
from magvit2.training.display import Display
from magvit2.training.usage import NUM_BATCHES, UsageWindow
from tests.training.making import TINY, make_pictures


def shown(num_steps: int, step_s: float, log_every: int, first_step: int = 0) -> Display:
    """Show a run whose steps take so long, with values at each `log_every`-th step and the last."""
    now = [1000.0]
    display = Display(first_step, num_steps, clock=lambda: now[0])
    for num_done in range(first_step + 1, num_steps + 1):
        now[0] += step_s
        display.advance(num_done)
        if (num_done - 1) % log_every == 0 or num_done == num_steps:
            display.update(f"loss {num_done}")
    return display


def test_there_is_a_line_at_first_every_thirty_seconds_and_at_last(capsys: pytest.CaptureFixture[str]) -> None:
    shown(1000, 0.25, log_every=20)
    assert capsys.readouterr().err.splitlines() == [
        "step 1 of 1,000  loss 1",
        *(
            f"step {count} of 1,000  loss {(count - 2) // 20 * 20 + 1}  0.25 s a step  {left} left"
            for count, left in (
                (121, "0:03:40"), (241, "0:03:10"), (361, "0:02:40"), (481, "0:02:10"), (601, "0:01:40"),
                (721, "0:01:10"), (841, "0:00:40"), (961, "0:00:10"),
            )
        ),
        "step 1,000 of 1,000  loss 1000  0.25 s a step  0:00:00 left",
    ]  # fmt: skip


def test_slow_steps_have_a_line_each_though_their_values_are_old(capsys: pytest.CaptureFixture[str]) -> None:
    shown(12, 100.0, log_every=20, first_step=10)
    assert capsys.readouterr().err.splitlines() == ["step 12 of 12  loss 12"]
    shown(24, 100.0, log_every=20, first_step=20)
    assert capsys.readouterr().err.splitlines() == [
        "step 21 of 24  loss 21",
        "step 22 of 24  loss 21  100 s a step  0:03:20 left",
        "step 23 of 24  loss 21  100 s a step  0:01:40 left",
        "step 24 of 24  loss 24  100 s a step  0:00:00 left",
    ]


def test_the_lines_of_a_run_have_loss_psnr_and_code_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_tokenizer(dataclasses.replace(TINY, num_steps=2), make_pictures(tmp_path / "s"), tmp_path / "run")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step ") and " of 2 " in line]
    assert len(lines) == 2
    for line in lines:
        assert all(f"  {name} " in line for name in ("loss", "psnr", "codes"))


def test_usage_is_that_of_the_last_batches() -> None:
    window = UsageWindow(vocab_size=1000)
    window.add(torch.arange(20).reshape(2, 10))
    assert window.share == 1
    window.add(torch.arange(20))
    assert window.share == 20 / 40
    for _ in range(NUM_BATCHES - 1):
        window.add(torch.full((20,), 7))
    assert window.share == 20 / (20 * NUM_BATCHES)  # the first batch is forgotten, the second is not
    window.add(torch.full((20,), 7))
    assert window.share == 1 / (20 * NUM_BATCHES)


def test_usage_is_whole_where_all_of_a_small_codebook_is_in_use() -> None:
    window = UsageWindow(vocab_size=8)
    window.add(torch.arange(64) % 8)
    assert window.share == 1
