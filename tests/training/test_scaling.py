"""Training in float16: it follows float32, and a scale that is too high costs a step and nothing else."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch

from magvit2.errors import FormatError, TrainingError
from magvit2.training import train_tokenizer
from magvit2.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from magvit2.training.limit import TimeLimit
from magvit2.training.scaling import make_scalers
from magvit2.training.step import train_step
from tests.training.making import TINY, journal, make_pictures, results
from tests.training.stepping import JUDGED, batch, begun, take_steps, weights

HALF = dataclasses.replace(JUDGED, precision="fp16")
TOO_HIGH = 2.0**60


def set_scales(state: TrainingState, own: float, judge: float) -> None:
    scalers = make_scalers("fp16", "cpu").state()
    state.scalers.restore({"own": scalers["own"] | {"scale": own}, "judge": scalers["judge"] | {"scale": judge}})


def test_float16_follows_float32() -> None:
    (state, goal), (half, half_goal) = begun(JUDGED), begun(HALF)
    before = weights(state)
    for one, other in zip(take_steps(state, goal, 6), take_steps(half, half_goal, 6), strict=True):
        assert other.problem == "" and other.values["loss_scale"] == 2**16
        for name, value in one.values.items():
            assert other.values[name] == pytest.approx(value, rel=0.02, abs=2e-3), name
    ends = [torch.cat([(end[name] - before[name]).flatten() for name in before]) for end in map(weights, (state, half))]
    assert (ends[1] - ends[0]).norm() < 0.3 * ends[0].norm()


def test_r1_is_scaled_like_the_rest_of_its_side() -> None:
    """The discriminators' gradients are the same, whatever the scales, at a step with R1 and at one without."""
    for step in (0, 1):
        found = []
        for scale in (1.0, 2.0**16):
            state, goal = begun(HALF)
            set_scales(state, 1.0, scale)
            report = train_step(step, batch(), state, goal)
            assert ("r1" in report.values) == (step == 0)
            found.append([side.grad for side in state.adversaries["video"].parameters()])
        torch.testing.assert_close(*found, rtol=2e-2, atol=1e-5)


@pytest.mark.parametrize("side", ["own", "judge"])
def test_a_scale_that_is_too_high_falls_and_nothing_moves(side: str) -> None:
    state, goal = begun(HALF)
    take_steps(state, goal, 1)
    before = weights(state)
    moments = [value["exp_avg_sq"].clone() for value in state.optimizer.state.values()]
    set_scales(state, **{"own": 8.0, "judge": 8.0, side: TOO_HIGH})
    report = train_step(2, batch(), state, goal, in_detail=True)
    assert report.problem == ""
    assert all(torch.equal(value, before[name]) for name, value in weights(state).items())
    torch.testing.assert_close([v["exp_avg_sq"] for v in state.optimizer.state.values()], moments, rtol=0, atol=0)
    scales = {"own": report.values["loss_scale"], "judge": report.values["judge_loss_scale"]}
    assert scales == {"own": 8.0, "judge": 8.0, side: TOO_HIGH / 2}
    assert all(math.isfinite(value) for value in report.values.values())
    assert ("grad_norm" in report.values) == (side == "judge")
    assert ("judge_grad_norm" in report.values) == (side == "own")


def test_gradients_that_no_scale_would_help_are_a_bad_step() -> None:
    state, goal = begun(dataclasses.replace(HALF, loss=dataclasses.replace(HALF.loss, commitment=1e20)))
    set_scales(state, 1.0, 1.0)
    before = weights(state)
    assert train_step(0, batch(), state, goal).problem.startswith("grad norm is ")
    assert all(torch.equal(value, before[name]) for name, value in weights(state).items())


def test_a_run_whose_gradients_never_fit_ends(tmp_path: Path) -> None:
    huge = dataclasses.replace(TINY.loss, commitment=1e20)
    config = dataclasses.replace(TINY, precision="fp16", loss=huge, num_steps=60, max_bad_steps=3, checkpoint_every=60)
    with pytest.raises(TrainingError, match=r"step 18: grad norm is (inf|nan), for 3 steps in a row"):  # 2^16 to 1
        train_tokenizer(config, make_pictures(tmp_path / "source"), tmp_path / "run")


def test_a_run_in_float16_that_stops_at_each_step_ends_like_one_that_ran_through(tmp_path: Path) -> None:
    source = make_pictures(tmp_path / "source")
    config = dataclasses.replace(HALF, loss=dataclasses.replace(HALF.loss, commitment=1e6))  # the scale has to fall
    train_tokenizer(config, source, tmp_path / "straight")
    for _ in range(config.num_steps):
        train_tokenizer(config, source, tmp_path / "stopped", time_limit=TimeLimit(1, spent_s=2))
    lines = journal(tmp_path / "straight")
    assert lines == journal(tmp_path / "stopped")
    assert lines[-1]["loss_scale"] < lines[0]["loss_scale"] < 2**16 and lines[-1]["judge_loss_scale"] == 2**16
    last = "checkpoints/step-00000006/"
    for name in ("state.safetensors", "state.json"):
        assert results(tmp_path / "stopped")[last + name] == results(tmp_path / "straight")[last + name]


def test_a_checkpoint_has_the_scales_and_how_long_they_have_held(tmp_path: Path) -> None:
    state, goal = begun(HALF)
    take_steps(state, goal, 3)
    target = save_checkpoint(tmp_path, 3, state, keep=1)
    loaded, _ = begun(HALF)
    load_checkpoint(target, loaded)
    assert loaded.scalers.state() == state.scalers.state()
    assert loaded.scalers.state()["judge"]["_growth_tracker"] == 3
    (target / "state.json").write_text(json.dumps({"step": 3}))
    with pytest.raises(FormatError, match="does not fit this run"):
        load_checkpoint(target, loaded)
    load_checkpoint(target, begun(JUDGED)[0])  # other precisions have no scales


def test_other_precisions_have_no_scales() -> None:
    state, goal = begun(JUDGED)
    assert "loss_scale" not in take_steps(state, goal, 1)[0].values
