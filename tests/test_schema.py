"""Closed configurations: what is unknown, missing or of the wrong type is named; the rest survives a round trip."""

import json
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from magvit2.errors import ConfigError
from magvit2.schema import from_dict, to_dict, with_settings


@dataclass(frozen=True)
class Part:
    size: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Whole:
    part: Part
    parts: tuple[Part, ...] = ()
    pair: tuple[int, float] = (1, 2.0)
    kind: Literal["fast", "slow"] = "fast"
    rate: float = 0.5
    limit: int | None = None
    is_on: bool = False


EXAMPLE = Whole(Part(3, ("a", "b")), (Part(1), Part(2)), (4, 5.5), "slow", 1.0, 7, is_on=True)


def test_json_and_back_is_the_same_configuration() -> None:
    text = json.dumps(to_dict(EXAMPLE))
    assert from_dict(Whole, json.loads(text)) == EXAMPLE


def test_what_has_a_default_may_be_left_out() -> None:
    assert from_dict(Whole, {"part": {"size": 1}}) == Whole(Part(1))


def test_an_integer_will_do_as_a_number_and_becomes_one() -> None:
    rate = from_dict(Whole, {"part": {"size": 1}, "rate": 2}).rate
    assert rate == 2.0 and isinstance(rate, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"part": {"size": 1}, "depth": 3}, "config: unknown key 'depth'; the known keys are part, parts, pair"),
        ({"part": {"size": 1, "width": 3}}, "config.part: unknown key 'width'; the known keys are size, names"),
        ({}, "config: missing part"),
        ({"part": {}}, "config.part: missing size"),
        ({"part": {"size": "big"}}, "config.part.size: got 'big', expected a value of type int"),
        ({"part": {"size": True}}, "config.part.size: got True, expected a value of type int"),
        ({"part": {"size": 1.5}}, "config.part.size: got 1.5, expected a value of type int"),
        ({"part": {"size": 1, "names": "ab"}}, "config.part.names: got 'ab', expected a list"),
        ({"part": {"size": 1, "names": ["a", 2]}}, r"config.part.names\[1\]: got 2, expected a value of type str"),
        ({"part": {"size": 1}, "pair": [1]}, r"config.pair: got \[1\], expected 2 values"),
        ({"part": {"size": 1}, "kind": "medium"}, "config.kind: got 'medium', expected one of 'fast', 'slow'"),
        ({"part": {"size": 1}, "rate": "fast"}, "config.rate: got 'fast', expected a number"),
        ({"part": {"size": 1}, "rate": None}, "config.rate: got None"),
        ({"part": {"size": 1}, "limit": "none"}, "config.limit: got 'none', expected a value of type int"),
        ({"part": {"size": 1}, "is_on": 1}, "config.is_on: got 1, expected a value of type bool"),
        ({"part": 3}, "config.part: got 3, expected a table of settings"),
        ({"part": {"size": 1}, "parts": [{"size": 1}, {}]}, r"config.parts\[1\]: missing size"),
        ([1], r"config: got \[1\], expected a table of settings"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_its_key(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        from_dict(Whole, values)
    assert "\n" not in str(error.value)


def test_settings_are_applied_in_order_and_reach_into_parts() -> None:
    settings = ["part.size=8", "kind=slow", "rate=1", "limit=null", 'part.names=["x"]', "part.size=9", "pair=[2, 3]"]
    assert with_settings(EXAMPLE, settings) == Whole(
        Part(9, ("x",)), EXAMPLE.parts, (2, 3.0), "slow", 1.0, None, is_on=True
    )


def test_a_setting_can_replace_a_list_of_parts() -> None:
    changed = with_settings(EXAMPLE, ['parts=[{"size": 5, "names": ["n"]}]'])
    assert changed.parts == (Part(5, ("n",)),)


def test_settings_leave_the_given_configuration_alone() -> None:
    with_settings(EXAMPLE, ["rate=9"])
    assert EXAMPLE.rate == 1.0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("rate", "expected PATH=VALUE"),
        ("speed=3", "setting speed: unknown key 'speed'; the known keys are part"),
        ("part.depth=3", "setting part.depth: unknown key 'depth'; the known keys are size, names"),
        ("rate.depth=3", "rate has no settings of its own"),
        ("part.size=large", "part.size: got 'large', expected a value of type int"),
        ("kind=medium", "expected one of 'fast', 'slow'"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        with_settings(EXAMPLE, [setting])
    assert "\n" not in str(error.value)
