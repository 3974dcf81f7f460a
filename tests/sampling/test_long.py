"""Long clips: each window is given the end of what there is, and goes on from it."""

import pytest
import torch

from magvit2.errors import InputError
from magvit2.lm import CausalLM, MaskedLM, MaskedLMConfig
from magvit2.sampling import (
    CausalSampling,
    Guidance,
    MaskedSampling,
    generators_for,
    sample_causal,
    sample_long,
    sample_masked,
)
from tests.sampling.tiny_lms import GRID, SHAPE, SPACE, KnownMaskedLM, causal_lm, masked_lm

MODELS = pytest.mark.parametrize("lm", [masked_lm(), causal_lm()], ids=["masked", "causal"])
ONE_STEP = MaskedSampling(1)


def watched(*tasks: str) -> KnownMaskedLM:
    config = MaskedLMConfig(SPACE, (4, 2, 2), num_factors=1, num_classes=3, tasks=tasks, transformer=SHAPE)
    return KnownMaskedLM(config, torch.zeros(4, 2, 2, 64))


@MODELS
def test_clips_of_any_length_come_out_whole(lm: MaskedLM | CausalLM) -> None:
    for length in (1, 2, 3, 4, 7, 10):
        ids = sample_long(lm, (length, 2, 1), [0, 1], overlap=1)
        assert ids.shape == (2, length, 2, 1) and ids.min() >= 0 and ids.max() < 64


def test_a_clip_of_one_window_is_an_ordinary_sample() -> None:
    chance = generators_for([4]), generators_for([4])
    assert torch.equal(
        sample_long(masked_lm(), GRID, 1, generator=chance[0]), sample_masked(masked_lm(), GRID, 1, generator=chance[1])
    )
    assert torch.equal(
        sample_long(causal_lm(), GRID, 1, generator=chance[0]), sample_causal(causal_lm(), GRID, 1, generator=chance[1])
    )


@pytest.mark.parametrize("overlap", [1, 2, 3])
def test_every_window_of_a_masked_model_sees_the_overlap_and_generates_the_rest(overlap: int) -> None:
    lm = watched()
    ids = sample_long(lm, (9, 2, 2), 1, overlap=overlap, settings=ONE_STEP)
    start = 0
    for number, (seen, _, _) in enumerate(lm.seen):
        num_known = overlap if number else 0
        assert torch.equal(seen[0, :num_known, :, :, 0], ids[0, start : start + num_known])
        assert (seen[0, num_known:] == 64).all()
        assert seen.shape[1] == min(4, 9 - start)
        start += 4 - overlap
    assert len(lm.seen) == {1: 3, 2: 4, 3: 6}[overlap]


def test_every_window_of_a_causal_model_begins_with_the_overlap() -> None:
    lm = causal_lm(num_factors=1)
    ids = sample_long(lm, (7, 2, 2), 1, overlap=2)
    starts = [run for run in lm.seen if run.shape[1] > 1]
    assert [run[0, 1:].tolist() for run in starts] == [ids[0, i : i + 2].flatten().tolist() for i in range(1, 5)]


def test_half_of_the_window_overlaps_unless_said() -> None:
    lm = watched()
    sample_long(lm, (6, 2, 2), settings=ONE_STEP)
    assert [int((seen[0] != 64).sum()) // 4 for seen, _, _ in lm.seen] == [0, 2]


@MODELS
@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_a_prefix_is_kept_whatever_its_length(lm: MaskedLM | CausalLM, length: int) -> None:
    prefix = torch.randint(64, (2, length, 2, 2))
    ids = sample_long(lm, (7, 2, 2), prefix=prefix)
    assert ids.shape == (2, 7, 2, 2) and torch.equal(ids[:, :length], prefix)


def test_a_short_prefix_is_seen_whole() -> None:
    lm = watched()
    sample_long(lm, (6, 2, 2), overlap=1, prefix=torch.zeros(1, 3, 2, 2).long(), settings=ONE_STEP)
    assert [int((seen[0] != 64).sum()) // 4 for seen, _, _ in lm.seen] == [3, 1]


def test_a_model_of_tasks_makes_a_clip_of_a_class_and_predicts_from_there() -> None:
    lm = watched("class", "predict")
    sample_long(lm, (6, 2, 2), settings=ONE_STEP)
    assert [int(tasks[0]) for _, _, tasks in lm.seen] == [0, 1]


@MODELS
def test_a_sample_is_the_same_alone_and_in_a_batch(lm: MaskedLM | CausalLM) -> None:
    batch, alone = (
        sample_long(lm, (6, 2, 2), labels, generator=torch.Generator().manual_seed(2)) for labels in ([1, 0], [1])
    )
    assert torch.equal(batch[:1], alone)
    assert not torch.equal(batch[0, :3], batch[0, 3:])


@pytest.mark.parametrize(
    ("lm", "arguments", "problem"),
    [
        (masked_lm(), {"grid": (9, 3, 2)}, r"grid \(3, 3, 2\)"),
        (masked_lm(), {"overlap": 3}, "overlap = 3: expected 1 or more and less than the model's 3 latents"),
        (masked_lm(), {"overlap": 0}, "overlap = 0"),
        (masked_lm(grid=(1, 2, 2)), {}, "overlap = 1: .* the model's 1 latents"),
        (masked_lm(), {"prefix": torch.zeros(1, 9, 2, 2).long()}, "prefix of 9 latents .* at most 8"),
        (masked_lm(), {"settings": CausalSampling()}, "for a masked model: expected MaskedSampling"),
        (causal_lm(), {"settings": MaskedSampling()}, "for a causal model: expected CausalSampling"),
        (masked_lm(), {"settings": MaskedSampling(guidance=Guidance(1.0))}, "without a label"),
    ],
)
def test_what_does_not_fit_is_refused(lm: MaskedLM | CausalLM, arguments: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        sample_long(lm, **({"grid": (9, 2, 2)} | arguments))  # type: ignore[arg-type]
