"""The full objective: an adversary, bits that are dropped, parts of a batch, a decoder that learns alone."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from magvit2.adversarial import AdversarialWeights, Adversary, DiscriminatorConfig
from magvit2.data.batches import Batch
from magvit2.errors import ConfigError
from magvit2.features import FrameDistance, MissingNetworkError
from magvit2.losses import LossWeights, PerceptualWeights
from magvit2.store import read_tensors
from magvit2.tokenizer import Tokenizer
from magvit2.training import BitDropping, OptimizerConfig, TokenizerTraining, objective, train_tokenizer
from magvit2.training.checkpoint import TrainingState
from magvit2.training.limit import TimeLimit
from magvit2.training.objective import Objective, last_layer_norms, make_objective
from magvit2.training.step import train_step
from magvit2.training.tokenizer import start
from tests.training.making import TINY, journal, make_pictures, results

JUDGE = DiscriminatorConfig(base_channels=2, channel_multipliers=(1, 2), head="pool")
FULL = dataclasses.replace(
    TINY,
    adversarial=AdversarialWeights(start_step=1, ramp_steps=2, r1_every=2),
    discriminator=JUDGE,
    discriminator_optimizer=OptimizerConfig(lr=1e-2, warmup_steps=0),
    bit_dropping=BitDropping(probability=0.5, least=2, start_step=1),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training data."""
    return make_pictures(tmp_path_factory.mktemp("source"))


def batch(num_frames: int = 5, size: int = 16, count: int = 4) -> Batch:
    rng = np.random.default_rng(0)
    clips = torch.from_numpy(rng.integers(0, 256, (count, 3, num_frames, size, size), dtype=np.uint8))
    return Batch(clips, "video" if num_frames > 1 else "image")


def begun(config: TokenizerTraining) -> tuple[TrainingState, Objective]:
    return start(config, "cpu"), make_objective(config, None, "cpu")


def test_a_run_with_an_adversary_that_stops_at_each_step_ends_like_one_that_ran_through(
    source: Path, tmp_path: Path
) -> None:
    train_tokenizer(FULL, source, tmp_path / "straight")
    for _ in range(FULL.num_steps):
        train_tokenizer(FULL, source, tmp_path / "stopped", time_limit=TimeLimit(1, spent_s=2))
    assert journal(tmp_path / "stopped") == journal(tmp_path / "straight")
    last = "checkpoints/step-00000006/state.safetensors"
    assert results(tmp_path / "stopped")[last] == results(tmp_path / "straight")[last]
    tensors = read_tensors(tmp_path / "straight" / last)
    assert tensors["adversaries.video.lecam.real"] != 0 and "adversary_optimizer.0.exp_avg" in tensors


def test_the_journal_has_every_term_and_its_pull_at_the_last_layer(source: Path, tmp_path: Path) -> None:
    train_tokenizer(FULL, source, tmp_path)
    lines = journal(tmp_path)
    assert "adversarial" not in lines[0] and "judge_loss" not in lines[0]  # not before its first step
    assert "judge_loss" in lines[1] and "adversarial" not in lines[1]  # the ramp starts at 0
    assert all(line["pull_reconstruction"] > 0 for line in lines)
    for line in lines[2:]:
        assert {"adversarial", "judge_loss", "lecam", "real_logit", "fake_logit", "judge_grad_norm"} <= line.keys()
        assert line["pull_adversarial"] > 0 and ("r1" in line) == (line["step"] % 2 == 0)
        assert "pull_commitment" not in line  # it does not reach the decoder


def test_both_sides_have_the_gradients_of_one_simultaneous_pass() -> None:
    """The two forward passes of the discriminator against one of each clip, at the same parameters."""
    state, goal = begun(dataclasses.replace(FULL, bit_dropping=BitDropping()))
    judge, decoder = state.adversaries["video"], list(state.model.decoder.parameters())
    assert isinstance(judge, Adversary)
    given = batch()
    done = goal.forward(4, given.clips_u8, goal.draw(4, given.clips_u8), state, judge)
    ours = torch.autograd.grad(done.total, decoder, retain_graph=True)
    theirs = torch.autograd.grad(goal.judge(4, done, judge).total, list(judge.parameters()))

    softplus = torch.nn.functional.softplus
    pixels = done.clips.clone().requires_grad_()
    fake, real = judge.discriminator(done.decoded), judge.discriminator(pixels)
    others = torch.stack([term for name, term in done.terms.items() if name != "adversarial"]).sum()
    (slopes,) = torch.autograd.grad(real.sum(), pixels, create_graph=True)
    both = softplus(-real).mean() + softplus(fake).mean() + 10 * 2 * 4 * slopes.square().sum() / len(slopes)
    both = both + 0.001 * (real.mean().relu() ** 2 + (-fake.mean()).relu() ** 2)
    expected = torch.autograd.grad(others + 0.1 * softplus(-fake).mean(), decoder, retain_graph=True)
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-5)
    expected = torch.autograd.grad(both, list(judge.parameters()))
    torch.testing.assert_close(theirs, expected, rtol=1e-3, atol=1e-5)


def test_parts_of_a_batch_have_its_gradient() -> None:
    plain = dataclasses.replace(
        FULL,
        batches=tuple(dataclasses.replace(each, batch_size=4) for each in FULL.batches),
        loss=LossWeights(entropy=0.0),
        bit_dropping=BitDropping(1.0, 2),
        adversarial=AdversarialWeights(lecam=0.0),
        optimizer=OptimizerConfig(),
    )
    found = []
    for num_parts in (1, 2, 4):
        state, goal = begun(dataclasses.replace(plain, num_parts=num_parts))
        report = train_step(4, batch(), state, goal)
        assert report.clips.shape == (4, 3, 5, 16, 16) and report.quantized.ids.shape == (4, 2, 2, 2)
        sides = (*state.model.parameters(), *state.adversaries["video"].parameters())
        found.append([torch.tensor(report.values["loss"]), *(side.grad for side in sides)])
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found[2], found[0], rtol=1e-3, atol=1e-5)


def test_images_and_clips_have_adversaries_of_their_own() -> None:
    state, goal = begun(FULL)
    assert set(state.adversaries) == {"image", "video"}
    before = {name: value.clone() for name, value in state.adversaries.state_dict().items()}
    train_step(4, batch(num_frames=1), state, goal)
    after = state.adversaries.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in after if name.startswith("video."))
    assert any(not torch.equal(after[name], before[name]) for name in after if name.startswith("image."))


def test_a_discriminator_that_flattens_has_clips_of_one_size(source: Path, tmp_path: Path) -> None:
    flat = dataclasses.replace(FULL, discriminator=dataclasses.replace(JUDGE, head="flatten"))
    train_tokenizer(dataclasses.replace(flat, num_steps=3), source, tmp_path / "one")
    larger = (*TINY.batches, dataclasses.replace(TINY.batches[0], size=32))
    with pytest.raises(ConfigError, match=r"takes clips of one size; the video batches have \[\(5, 16\), \(5, 32\)\]"):
        train_tokenizer(dataclasses.replace(flat, batches=larger), source, tmp_path / "two")
    assert not (tmp_path / "two").exists()


def test_bits_are_dropped_from_the_top_as_often_as_asked() -> None:
    config = dataclasses.replace(FULL, bit_dropping=BitDropping(probability=0.25, least=2, start_step=10))
    goal = Objective(config, None)
    clips = torch.zeros(64, 3, 1, 8, 8, dtype=torch.uint8)
    assert goal.draw(9, clips).num_bits is None
    drawn = torch.cat([goal.draw(step, clips).num_bits for step in range(10, 60)]).tolist()
    counts = {bits: drawn.count(bits) / len(drawn) for bits in set(drawn)}
    assert set(counts) == {2, 3, 4, 5, 6}  # 6 is all of them
    assert counts[6] == pytest.approx(0.75, abs=0.03)
    assert all(counts[bits] == pytest.approx(0.25 / 4, abs=0.015) for bits in (2, 3, 4, 5))


def test_a_clip_of_fewer_bits_is_what_decode_makes_of_them() -> None:
    model = start(TINY, "cpu").model.eval()
    clips = batch().clips_u8[:2] / 127.5 - 1
    with torch.no_grad():
        decoded, quantized = model(clips, torch.tensor([2, 6]))
    torch.testing.assert_close(decoded[:1].clamp(-1, 1), model.decode(quantized.ids[:1], num_bits=2))
    torch.testing.assert_close(decoded[1:].clamp(-1, 1), model.decode(quantized.ids[1:]))


def test_a_decoder_that_learns_alone_leaves_every_id(source: Path, tmp_path: Path) -> None:
    train_tokenizer(dataclasses.replace(TINY, num_steps=1), source, tmp_path / "first")
    config = dataclasses.replace(TINY, trained="decoder", initial=str(tmp_path / "first" / "model"))
    first, second = (
        Tokenizer.from_pretrained(folder)
        for folder in (tmp_path / "first" / "model", train_tokenizer(config, source, tmp_path / "second"))
    )
    assert all(torch.equal(a, b) for a, b in zip(first.encoder.parameters(), second.encoder.parameters(), strict=True))
    assert not torch.equal(first.decoder.head.weight, second.decoder.head.weight)


class Brightness(FrameDistance):
    """A perceptual distance without a network: of mean brightness."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        return (images - others).mean(dim=(1, 2, 3)).square()


def test_a_perceptual_term_is_weighed_and_pulls(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objective, "open_perceptual", lambda weights, nets: Brightness())
    config = dataclasses.replace(TINY, perceptual=PerceptualWeights("resnet50v2", weight=0.5, num_frames=2))
    state, goal = start(config, "cpu"), make_objective(config, None, "cpu")
    given = batch()
    done = goal.forward(0, given.clips_u8, goal.draw(0, given.clips_u8), state, None)
    assert done.terms["perceptual"].item() == pytest.approx(0.5 * done.values["perceptual"].item())
    assert done.total.item() == pytest.approx(sum(term.item() for term in done.terms.values()))
    norms = last_layer_norms(state.model, done)
    (gradient,) = torch.autograd.grad(done.terms["perceptual"], state.model.decoder.head.weight)
    assert norms["perceptual"].item() == pytest.approx(gradient.norm().item())


def test_a_missing_network_ends_a_run_before_it_begins(source: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, perceptual=PerceptualWeights("resnet50v2"))
    with pytest.raises(MissingNetworkError, match=r"needs resnet50v2_stages1to3_fp16_onnxzoo\.npz in "):
        train_tokenizer(config, source, tmp_path / "run", nets=tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_parts": 0}, "num_parts = 0: expected 1 or more"),
        ({"num_parts": 4}, "batches of 2 cannot be cut into 4 parts"),
        ({"max_bad_steps": 0}, "max_bad_steps = 0: expected 1 or more"),
        ({"bit_dropping": BitDropping(0.5, least=6)}, "a binary quantizer of more bits"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(TINY, **changes)  # type: ignore[arg-type]


def test_dropping_that_cannot_be() -> None:
    for changes in ({"probability": 1.5}, {"least": 0}, {"start_step": -1}):
        with pytest.raises(ConfigError, match="a probability of 0 to 1"):
            BitDropping(**changes)  # type: ignore[arg-type]
