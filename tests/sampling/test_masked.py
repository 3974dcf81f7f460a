"""Masked sampling: what is known stays, what is unknown is set in the order and number that the schedule says."""

import dataclasses
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from magvit2.errors import ConfigError, InputError
from magvit2.lm import MaskedLM, MaskedLMConfig
from magvit2.lm.masking import Condition
from magvit2.sampling import Guidance, MaskedSampling, generators_for, sample_masked, sample_masked_steps
from magvit2.sampling.chance import uniform_noise
from tests.sampling.tiny_lms import GRID, SHAPE, SPACE, KnownMaskedLM, masked_lm

RATIOS = {
    "cosine": lambda r, n: math.cos(math.pi / 2 * r),
    "linear": lambda r, n: 1 - r,
    "square": lambda r, n: 1 - r * r,
    "cubic": lambda r, n: 1 - r * r * r,
    "sqrt": lambda r, n: 1 - math.sqrt(r),
    "arccos": lambda r, n: math.acos(r) / (math.pi / 2),
    "exp": lambda r, n: 1 - 2 ** (-math.log2(n) * (1 - r)),
}
BITS = {"tokens": "bits", "num_factors": 6}


def known_lm(*logits: Tensor, **changes: object) -> KnownMaskedLM:
    """One factor of as many values as the last axis of the logits has, a power of two; [t, h, w, k] for each."""
    bits = sum(int(math.log2(each.shape[-1])) for each in logits)
    space = dataclasses.replace(SPACE, radices=(2,) * bits)
    config = {"space": space, "grid": tuple(logits[0].shape[:3]), "num_factors": len(logits), "num_classes": 3}
    return KnownMaskedLM(MaskedLMConfig(**(config | {"transformer": SHAPE} | changes)), *logits)  # type: ignore[arg-type]


@given(
    st.sampled_from(sorted(RATIOS)),
    st.sampled_from(["token", "factor"]),
    st.sampled_from([1, 2, 5, 12, 24, 256]),
    st.sampled_from([{}, {"num_factors": 1}, BITS]),
    st.integers(0, 2**32),
)
@settings(max_examples=40)
def test_known_ids_stay_and_all_others_are_set_by_the_schedule(
    schedule: str, unit: str, num_steps: int, changes: dict[str, object], seed: int
) -> None:
    chance = torch.Generator().manual_seed(seed)
    lm = masked_lm(**changes)
    known = torch.randint(64, (2, *GRID), generator=chance)
    mask = torch.rand((2, *GRID), generator=chance) < 0.7
    mask[1, 0, 0, 0] = True
    how = MaskedSampling(num_steps, schedule, unit=unit, choice_temperature=1.0)  # type: ignore[arg-type]
    steps = list(sample_masked_steps(lm, GRID, settings=how, known=known, mask=mask, generator=chance))
    for step in steps:
        assert torch.equal(step.ids[~mask], known[~mask])
        assert step.ids.min() >= 0 and step.ids.max() < 64
        assert not step.is_unset[~mask].any()
    for before, after in itertools.pairwise(steps):
        assert torch.equal(before.ids[~before.is_unset], after.ids[~before.is_unset])
        assert not (after.is_unset & ~before.is_unset).any()
    assert not steps[-1].is_unset.any()
    if unit == "token":
        for sample in range(2):
            counts = [int(step.is_unset[sample].sum()) for step in steps]
            assert counts == counts_by_hand(schedule, num_steps, int(mask[sample].sum()))[: len(counts)]


def counts_by_hand(schedule: str, num_steps: int, num_unknown: int) -> list[int]:
    """How many tokens are unset after each step."""
    counts, left = [], num_unknown
    for step in range(1, num_steps + 1):
        wanted = int(RATIOS[schedule](step / num_steps, max(1, num_unknown)) * num_unknown)
        left = 0 if step == num_steps else max(0, min(left - 1, max(1, wanted)))
        counts.append(left)
    return counts


@pytest.mark.parametrize(("num_steps", "expected"), [(1, 1), (3, 3), (12, 12), (100, 12)])
def test_there_are_no_more_steps_than_tokens(num_steps: int, expected: int) -> None:
    steps = list(sample_masked_steps(masked_lm(), GRID, num_steps=num_steps))
    assert [step.step for step in steps] == list(range(1, expected + 1))


def test_the_number_of_masked_factors_is_the_schedule_s_where_factors_are_units() -> None:
    lm = known_lm(*torch.zeros(4, *GRID, 2))
    sample_masked(lm, GRID, settings=MaskedSampling(4, "linear", unit="factor"))
    assert [int((factors == 2).sum()) for factors, _, _ in lm.seen] == [48, 36, 24, 12]
    tokens = lm.seen[1][0] == 2
    assert (tokens.any(-1) & ~tokens.all(-1)).any(), "some token is set in part"


def test_the_last_step_is_what_sampling_returns() -> None:
    *_, last = sample_masked_steps(masked_lm(), GRID, 1, 5, generator=generators_for([4]))
    assert torch.equal(sample_masked(masked_lm(), GRID, 1, 5, generator=generators_for([4])), last.ids)


@pytest.mark.parametrize("unit", ["token", "factor"])
def test_a_sample_is_the_same_alone_and_in_a_batch(unit: str) -> None:
    lm, how = masked_lm(), MaskedSampling(5, unit=unit, top_p=0.9)  # type: ignore[arg-type]
    batch = sample_masked(lm, GRID, [0, 1, 2], settings=how, generator=torch.Generator().manual_seed(3))
    alone = sample_masked(lm, GRID, [0], settings=how, generator=torch.Generator().manual_seed(3))
    assert torch.equal(batch[:1], alone)
    third = sample_masked(lm, GRID, 2, settings=how, generator=generators_for([9]))
    others = sample_masked(lm, GRID, [1, 0, 2], settings=how, generator=generators_for([7, 8, 9]))
    assert torch.equal(others[2:], third) and not torch.equal(batch[2:], third)


def twin(lm: MaskedLM, label: int, how: MaskedSampling, seed: int) -> list[int]:
    """Masked sampling of one sample by loops over plain numbers, from the same noise."""
    (chance,) = generators_for([seed])
    sizes, places = lm.config.factor_sizes, list(itertools.product(*map(range, GRID)))
    values = {(place, f): size for place in places for f, size in enumerate(sizes)}
    unset = set(values)
    units = [[(place, f)] for place in places for f in range(len(sizes))]
    if how.unit == "token":
        units = [[(place, f) for f in range(len(sizes))] for place in places]
    for step in range(1, how.num_steps + 1):
        seen = torch.tensor([sizes[key[1]] if key in unset else values[key] for key in values]).view(1, *GRID, -1)
        logits = lm(seen, torch.tensor([label]))
        noise = dict(zip(values, uniform_noise([chance], (len(values),)).flatten().tolist(), strict=True))
        sureness = {}
        for place, f in sorted(unset):
            shares = (logits[f][0][place].double() / how.temperature).softmax(-1).tolist()
            sums = list(itertools.accumulate(shares))
            values[place, f] = next(i for i, total in enumerate(sums) if total > noise[place, f])
            sureness[place, f] = math.log(shares[values[place, f]])
        gumbel = [-math.log(-math.log(u)) for u in uniform_noise([chance], (len(units),)).flatten().tolist()]
        warmth = how.choice_temperature * (1 - step / how.num_steps)
        open_units = [i for i, unit in enumerate(units) if unit[0] in unset]
        order = sorted(open_units, key=lambda i: sum(sureness[key] for key in units[i]) + warmth * gumbel[i])
        kept = int(RATIOS[how.schedule](step / how.num_steps, len(units)) * len(units))
        kept = 0 if step == how.num_steps else min(max(1, kept), len(open_units) - 1)
        unset = {key for i in order[:kept] for key in units[i]}
    return [sum(values[place, f] * math.prod(sizes[:f]) for f in range(len(sizes))) for place in places]


@pytest.mark.parametrize("unit", ["token", "factor"])
@pytest.mark.parametrize("changes", [{}, {"num_factors": 3}, BITS], ids=["2", "3", "bits"])
@torch.no_grad()
def test_it_does_what_a_plain_loop_does(unit: str, changes: dict[str, object]) -> None:
    lm = masked_lm(**changes)
    for seed in range(5):
        how = MaskedSampling(1 + 2 * seed, temperature=0.7, choice_temperature=2.0, unit=unit)  # type: ignore[arg-type]
        found = sample_masked(lm, GRID, 1, settings=how, generator=generators_for([seed]))
        assert found.flatten().tolist() == twin(lm, 1, how, seed)


@pytest.mark.parametrize("changes", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
@torch.no_grad()
def test_the_likeliest_values_are_taken_where_only_they_are_left(changes: dict[str, float]) -> None:
    lm = masked_lm()
    how = MaskedSampling(1, **changes)  # type: ignore[arg-type]
    found = sample_masked(lm, GRID, 2, settings=how)
    masks = lm.mask_values().expand(1, *GRID, 2)
    best = torch.stack([each.argmax(-1) for each in lm(masks, torch.tensor([2]))], dim=-1)
    assert torch.equal(found, SPACE.factors_to_ids(best))


@torch.no_grad()
def test_guidance_in_one_pass_is_that_of_two() -> None:
    lm = masked_lm()
    masks = lm.mask_values().expand(1, *GRID, 2)
    with_class, without = lm(masks, torch.tensor([1])), lm(masks, torch.tensor([3]))
    for scale in (0.5, 4.0):
        how = MaskedSampling(1, top_k=1, guidance=Guidance(scale))
        found = sample_masked(lm, GRID, 1, settings=how)
        best = [(a + scale * (a - b)).argmax(-1) for a, b in zip(with_class, without, strict=True)]
        assert torch.equal(found, SPACE.factors_to_ids(torch.stack(best, dim=-1)))


def test_a_scale_of_zero_is_no_guidance_and_no_second_half() -> None:
    lm = known_lm(torch.zeros(*GRID, 8))
    sample_masked(lm, GRID, 1, 4, guidance=Guidance(3.0, "linear"))
    assert [labels.tolist() for _, labels, _ in lm.seen] == [[1], [1, 3], [1, 3], [1, 3]]
    plain, unguided = (
        sample_masked(masked_lm(), GRID, 1, guidance=guidance, generator=generators_for([1]))
        for guidance in (None, Guidance(0.0))
    )
    assert torch.equal(plain, unguided)


SHARES = [0.3, 0.02, 0.18, 0.1, 0.05, 0.15, 0.12, 0.08]


@pytest.mark.parametrize(("shares", "num_steps"), [(SHARES, 1), ([0.125] * 8, 4)])  # choice prefers what is likely
def test_samples_have_the_model_s_distribution(shares: list[float], num_steps: int) -> None:
    lm = known_lm(torch.tensor(shares).log().expand(1, 8, 8, 8))
    ids = sample_masked(lm, (1, 8, 8), None, num_steps, num_samples=64, generator=torch.Generator().manual_seed(0))
    expected = torch.tensor(shares) * ids.numel()
    chi_square = ((ids.flatten().bincount(minlength=8) - expected) ** 2 / expected).sum()
    assert chi_square < 24.3, "the 99.9th percentile with 7 degrees of freedom"


def test_the_surest_are_kept_first_where_choice_has_no_noise() -> None:
    peaks = torch.linspace(9, 1, 12)[torch.randperm(12, generator=torch.Generator().manual_seed(1))]
    logits = torch.zeros(12, 4)
    logits[:, 2] = peaks
    lm = known_lm(logits.view(*GRID, 4))
    how = MaskedSampling(12, "linear", choice_temperature=0.0, top_k=1)
    steps = list(sample_masked_steps(lm, GRID, settings=how))
    order = [int((~step.is_unset).flatten().int().argmax()) for step in steps[:1]]
    for before, after in itertools.pairwise(steps):
        order += (before.is_unset & ~after.is_unset).flatten().nonzero().flatten().tolist()
    assert order == peaks.argsort(descending=True).tolist()


def test_the_noise_of_choice_makes_the_order_differ() -> None:
    lm = known_lm(torch.zeros(*GRID, 4))
    first, second = (
        next(sample_masked_steps(lm, GRID, None, 3, generator=generators_for([seed]))).is_unset for seed in (0, 1)
    )
    assert not torch.equal(first, second)


def test_masked_tokens_show_the_condition_where_it_covers() -> None:
    lm = known_lm(torch.zeros(*GRID, 8), torch.zeros(*GRID, 8))
    ids = torch.randint(64, (1, *GRID))
    is_covered = torch.zeros(1, *GRID, dtype=torch.bool)
    is_covered[:, 0] = True
    steps = list(sample_masked_steps(lm, GRID, None, 4, condition=Condition(ids, is_covered)))
    is_unset = torch.ones(1, *GRID, dtype=torch.bool)
    for (seen, _, _), step in zip(lm.seen, steps, strict=True):
        assert torch.equal(lm.config.space.factors_to_ids(seen)[is_unset & is_covered], ids[is_unset & is_covered])
        assert (seen[is_unset & ~is_covered] == 8).all()
        assert (seen[~is_unset] < 8).all()
        is_unset = step.is_unset


def test_a_model_of_several_tasks_is_told_which() -> None:
    lm = known_lm(torch.zeros(*GRID, 8), tasks=("class", "predict"))
    sample_masked(lm, GRID, [0, 1], 1, task="predict", guidance=Guidance(1.0))
    assert lm.seen[0][2].tolist() == [1, 1, 1, 1]
    sample_masked(lm, GRID, [0, 1], 1)
    assert lm.seen[-1][2].tolist() == [0, 0]
    with pytest.raises(InputError, match="task 'inpaint': expected one of class, predict"):
        sample_masked(lm, GRID, task="inpaint")
    with pytest.raises(InputError, match="task 'class': expected none"):
        sample_masked(masked_lm(), GRID, task="class")


def test_ids_to_generate_may_hold_anything() -> None:
    mask = torch.zeros(GRID, dtype=torch.bool)
    mask[0] = True
    known = torch.full((2, *GRID), 5).masked_fill(mask, -1)
    assert (sample_masked(masked_lm(), GRID, known=known, mask=mask)[:, 1:] == 5).all()


def test_a_smaller_grid_will_do_and_a_larger_one_is_refused() -> None:
    assert sample_masked(masked_lm(), (2, 1, 2)).shape == (1, 2, 1, 2)
    with pytest.raises(InputError, match=r"grid \(4, 2, 2\): expected at most \(3, 2, 2\)"):
        sample_masked(masked_lm(), (4, 2, 2))


def test_a_model_in_training_samples_without_dropout_and_goes_on_training() -> None:
    lm = masked_lm()
    expected = sample_masked(lm, GRID, 1, generator=generators_for([2]))
    lm.train()
    ids = sample_masked(lm, GRID, 1, generator=generators_for([2]))
    assert torch.equal(ids, expected) and lm.training
    logits = lm(SPACE.ids_to_factors(ids, 2), torch.tensor([0]))
    logits[0].sum().backward()
    assert lm.classes.weight.grad is not None


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"label": 4}, "label 4: expected 0 to 2$"),
        ({"label": [0, -1]}, "label -1: expected 0 to 2$"),
        ({"label": [0, 1], "num_samples": 3}, "samples by .*'label': 2, 'num_samples': 3"),
        ({"label": []}, "samples by"),
        ({"num_samples": 0}, "samples by"),
        ({"known": torch.zeros(2, *GRID).long(), "mask": torch.ones(GRID).bool(), "label": [1, 1, 1]}, "'known': 2"),
        ({"known": torch.zeros(1, 3, 2, 1).long(), "mask": torch.ones(GRID).bool()}, r"known ids \[1, 3, 2, 1\]"),
        ({"known": torch.zeros(1, *GRID), "mask": torch.ones(GRID).bool()}, "of torch.float32: expected integers"),
        ({"known": torch.full((1, *GRID), 64), "mask": torch.eye(2).bool().expand(GRID)}, "expected 0 to 63"),
        ({"known": torch.zeros(1, *GRID).long()}, "known ids without a mask"),
        ({"mask": torch.ones(GRID).bool()}, "mask without known ids"),
        ({"known": torch.zeros(1, *GRID).long(), "mask": torch.ones(GRID)}, "of torch.float32: expected bool"),
        ({"known": torch.zeros(1, *GRID).long(), "mask": torch.ones(3, *GRID).bool()}, r"mask \[3, 3, 2, 2\]"),
        ({"known": torch.zeros(1, *GRID).long(), "mask": torch.zeros(GRID).bool()}, "it is nowhere"),
        ({"condition": Condition(torch.zeros(1, 3, 2, 1).long(), torch.ones(1, 3, 2, 1).bool())}, "condition"),
        ({"condition": Condition(torch.zeros(1, *GRID).long(), torch.ones(1, *GRID))}, "condition covers"),
        ({"guidance": Guidance(2.0)}, "guidance of scale 2.0 without a label"),
        ({"generator": generators_for([1, 2])}, "2 generators for 1 samples"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_what_does_not_fit_is_refused(arguments: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        sample_masked_steps(masked_lm(), GRID, **arguments)  # type: ignore[arg-type]


def test_clips_without_a_class_may_stand_beside_others() -> None:
    lm = masked_lm(num_classes=2, class_names=("cat", "dog"))
    mixed = sample_masked(lm, GRID, [1, 2], generator=generators_for([5, 6]))
    alone = sample_masked(lm, GRID, None, generator=generators_for([6]))
    assert torch.equal(mixed[1:], alone)


def test_a_wrong_label_is_told_the_classes_by_name() -> None:
    lm = masked_lm(num_classes=2, class_names=("cat", "dog"))
    with pytest.raises(InputError, match=r"label 3: expected 0 to 1 \(cat, dog\)"):
        sample_masked(lm, GRID, 3)


def test_a_model_without_classes_takes_no_label_and_no_guidance() -> None:
    lm = masked_lm(num_classes=0)
    assert sample_masked(lm, GRID).shape == (1, *GRID)
    with pytest.raises(InputError, match="label 1: this model knows no classes"):
        sample_masked(lm, GRID, 1)
    with pytest.raises(InputError, match=r"guidance of scale 1.0: this model knows no classes"):
        sample_masked(lm, GRID, guidance=Guidance(1.0))


def test_impossible_numbers_of_steps_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_steps = 0"):
        sample_masked(masked_lm(), GRID, num_steps=0)
