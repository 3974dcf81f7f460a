"""Meeting a size: encoders that exist only here, whose sizes are known."""

from collections.abc import Callable

import pytest

from magvit2.errors import MediaError
from magvit2.evaluation.rate_control import Attempt, meet_size

QUALITIES = tuple(range(50, 0, -1))


def made(num_bytes: float, setting: str) -> Attempt:
    return Attempt((bytes(round(num_bytes)),), setting)


class Encoder:
    """Doubles its bytes every 6 steps, and misses bit rates by a factor that shrinks as they are corrected."""

    def __init__(self, miss: Callable[[float], float] = lambda rate: rate) -> None:
        self.asked: list[str] = []
        self._miss = miss

    def by_quality(self, quality: float) -> Attempt:
        self.asked.append(f"q{quality:g}")
        return made(100 * 2 ** ((50 - quality) / 6), f"q{quality:g}")

    def by_bitrate(self, bits_per_s: float) -> Attempt:
        self.asked.append("rate")
        return made(self._miss(bits_per_s) / 8, f"{bits_per_s:.0f} bit/s")


@pytest.mark.parametrize("target", [100, 137, 1000, 5_000, 28_000])
def test_bisection_finds_the_nearest_size_in_few_steps(target: float) -> None:
    encoder = Encoder()
    attempt = meet_size(target, encoder.by_quality, QUALITIES)
    sizes = [encoder.by_quality(quality).num_bytes for quality in QUALITIES]
    assert abs(attempt.num_bytes - target) == min(abs(size - target) for size in sizes)
    assert len(encoder.asked) - len(QUALITIES) <= 6


@pytest.mark.parametrize(("target", "setting"), [(1, "q50"), (10**6, "q1")])
def test_sizes_out_of_reach_get_the_end_of_the_scale(target: float, setting: str) -> None:
    assert meet_size(target, Encoder().by_quality, QUALITIES).setting == setting


def test_two_passes_that_hit_are_not_searched_any_further() -> None:
    encoder = Encoder(miss=lambda rate: 2 * rate)  # of a clip of 2 seconds
    attempt = meet_size(1000, encoder.by_quality, QUALITIES, encoder.by_bitrate, duration_s=2)
    assert (attempt.num_bytes, attempt.setting, encoder.asked) == (1000, "4000 bit/s", ["rate"])


def test_a_bit_rate_that_misses_is_corrected() -> None:
    encoder = Encoder(miss=lambda rate: 1.3 * rate)
    attempt = meet_size(1000, encoder.by_quality, QUALITIES, encoder.by_bitrate)
    assert attempt.num_bytes == pytest.approx(1000, rel=0.01)
    assert encoder.asked == ["rate", "rate"]


def test_bit_rates_that_never_hit_end_in_a_bisection_and_the_nearest_of_all_counts() -> None:
    encoder = Encoder(miss=lambda rate: 8 * 1500)
    attempt = meet_size(1000, encoder.by_quality, QUALITIES, encoder.by_bitrate)
    assert encoder.asked[:5] == ["rate"] * 4 + ["q26"]
    assert attempt.setting == "q30"
    stubborn = Encoder(miss=lambda rate: 8 * 1060)  # misses by 6%: the bisection's step of 12% may do no better
    assert meet_size(1000, stubborn.by_quality, QUALITIES[:5], stubborn.by_bitrate).num_bytes == 1060


def test_a_bit_rate_that_is_refused_ends_in_a_bisection() -> None:
    def refuse(bits_per_s: float) -> Attempt:
        raise MediaError("too low")

    assert meet_size(1000, Encoder().by_quality, QUALITIES, refuse).setting == "q30"


def test_the_bytes_of_all_streams_count() -> None:
    assert Attempt((b"abc", b"de"), "").num_bytes == 5
