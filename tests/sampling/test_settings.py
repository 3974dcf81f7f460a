"""Settings: what cannot be is refused; published ones are there by name."""

import math

import pytest

from magvit2.errors import ConfigError
from magvit2.sampling import MASKED_PRESETS, CausalSampling, Guidance, MaskedSampling, masked_preset


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"num_steps": 0}, "num_steps = 0: expected 1 to 256"),
        ({"num_steps": 257}, "num_steps = 257"),
        ({"schedule": "cosinus"}, "schedule = 'cosinus': expected one of cosine"),
        ({"temperature": 0.0}, "top_k = 1 takes the likeliest"),
        ({"temperature": math.nan}, "temperature = nan"),
        ({"choice_temperature": -1.0}, "choice_temperature = -1.0"),
        ({"top_k": 0}, "top_k = 0"),
        ({"top_p": 0.0}, "top_p = 0.0"),
        ({"top_p": 1.1}, "top_p = 1.1"),
        ({"unit": "bit"}, "unit = 'bit': expected one of token, factor"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_impossible_masked_settings_are_refused(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        MaskedSampling(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{"temperature": -1.0}, {"top_k": -3}, {"top_p": 2.0}])
def test_impossible_causal_settings_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        CausalSampling(**changes)  # type: ignore[arg-type]


@pytest.mark.usefixtures("unchecked_shapes")
def test_impossible_guidance_is_refused() -> None:
    for changes in ({"scale": -1.0}, {"scale": math.inf}, {"power": 0.0}, {"schedule": "cosine"}):
        with pytest.raises(ConfigError, match="guidance"):
            Guidance(**changes)  # type: ignore[arg-type]


def test_guidance_rises_by_its_schedule() -> None:
    assert [Guidance(6.0).at(p) for p in (0, 0.5, 1)] == [6, 6, 6]
    assert [Guidance(6.0, "linear").at(p) for p in (0, 0.5, 1)] == [0, 3, 6]
    rising = [Guidance(6.0, "power-cosine", power=2.0).at(p) for p in (0.0, math.sqrt(0.5), 1.0)]
    assert rising == pytest.approx([0, 3, 6])


def test_the_published_settings_are_there() -> None:
    assert len(MASKED_PRESETS) == 12
    assert masked_preset("magvit-ucf101") == MaskedSampling()
    assert masked_preset("magvit-bair").schedule == "exp" and masked_preset("magvit-bair").choice_temperature == 400
    assert masked_preset("magvit2-imagenet-512-guided").guidance.at(1.0) == 25
    assert masked_preset("maskbit-256").unit == "factor"


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'magvit-bear': expected one of .*did you mean 'magvit-bair'"):
        masked_preset("magvit-bear")
