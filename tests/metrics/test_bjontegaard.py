"""Bjontegaard deltas: curves whose answer is known, SciPy's interpolants, and curves that cannot be compared."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.interpolate import PchipInterpolator

from magvit2.errors import InputError
from magvit2.metrics.bjontegaard import Curve, Method, bd_quality, bd_rate, quality_at

METHODS: list[Method] = ["pchip", "cubic"]
ANCHOR: Curve = [(100.0, 28.1), (210.0, 31.0), (450.0, 34.2), (900.0, 36.0), (2000.0, 37.1)]
OTHER: Curve = [(90.0, 28.6), (200.0, 31.9), (380.0, 34.0), (1000.0, 37.4)]


def scaled(curve: Curve, rate: float = 1.0, quality: float = 0.0) -> Curve:
    return [(r * rate, q + quality) for r, q in curve]


def mean_by_quadrature(x: list[float], y: list[float], low: float, high: float, method: Method) -> float:
    """The mean of SciPy's interpolant of (x, y), or of NumPy's cubic, integrated numerically."""
    f = PchipInterpolator(x, y) if method == "pchip" else np.poly1d(np.polyfit(x, y, 3))
    inner = [point for point in x if low < point < high]
    return float(quad(f, low, high, points=inner or None, epsabs=1e-12, epsrel=1e-12)[0]) / (high - low)


def by_quadrature(anchor: Curve, other: Curve, method: Method) -> tuple[float, float]:
    """(BD-rate in percent, BD-quality)."""
    (r1, q1), (r2, q2) = ([list(column) for column in zip(*curve, strict=True)] for curve in (anchor, other))
    r1, r2 = [math.log10(r) for r in r1], [math.log10(r) for r in r2]
    low, high = max(q1[0], q2[0]), min(q1[-1], q2[-1])
    rate = mean_by_quadrature(q2, r2, low, high, method) - mean_by_quadrature(q1, r1, low, high, method)
    low, high = max(r1[0], r2[0]), min(r1[-1], r2[-1])
    quality = mean_by_quadrature(r2, q2, low, high, method) - mean_by_quadrature(r1, q1, low, high, method)
    return (10**rate - 1) * 100, quality


@pytest.mark.parametrize("method", METHODS)
def test_a_tenth_fewer_bits_at_every_quality_is_minus_10_percent(method: Method) -> None:
    assert bd_rate(ANCHOR, scaled(ANCHOR, rate=0.9), method) == pytest.approx(-10)
    assert bd_rate(ANCHOR, scaled(ANCHOR, rate=1.25), method) == pytest.approx(25)


@pytest.mark.parametrize("method", METHODS)
def test_half_a_decibel_more_at_every_rate_is_half_a_decibel(method: Method) -> None:
    assert bd_quality(ANCHOR, scaled(ANCHOR, quality=0.5), method) == pytest.approx(0.5)


@pytest.mark.parametrize("method", METHODS)
def test_a_curve_has_no_distance_to_itself_and_the_order_of_points_does_not_matter(method: Method) -> None:
    assert bd_rate(ANCHOR, list(reversed(ANCHOR)), method) == pytest.approx(0, abs=1e-9)
    assert bd_quality(list(reversed(ANCHOR)), ANCHOR, method) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_rates_agree_with_scipy_and_numpy(method: Method) -> None:
    rate, quality = by_quadrature(ANCHOR, OTHER, method)
    assert rate < -5 and quality > 0.2
    assert bd_rate(ANCHOR, OTHER, method) == pytest.approx(rate, abs=1e-6)
    assert bd_quality(ANCHOR, OTHER, method) == pytest.approx(quality, abs=1e-8)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("method", METHODS)
def test_random_rising_curves_agree_with_scipy_and_numpy(method: Method, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def curve(count: int) -> Curve:
        rates, steps = 50 * np.cumprod(1 + rng.uniform(0.2, 2, count)), rng.uniform(0.2, 4, count)
        return list(zip(rates.tolist(), (30 + np.cumsum(steps)).tolist(), strict=True))

    anchor, other = curve(6), curve(5)
    rate, quality = by_quadrature(anchor, other, method)
    assert bd_rate(anchor, other, method) == pytest.approx(rate, rel=1e-6)
    assert bd_quality(anchor, other, method) == pytest.approx(quality, abs=1e-7)


EXAMPLE: Curve = [(9487.76, 40.037), (4593.60, 38.615), (2486.44, 36.845), (1358.24, 34.851)]
EXAMPLE_OTHER: Curve = [(9787.80, 40.121), (4469.00, 38.651), (2451.52, 36.970), (1356.24, 34.987)]


@pytest.mark.parametrize(("method", "rate", "quality"), [("pchip", -4.4174853506, 0.1196927854),
                                                         ("cubic", -4.4204627061, 0.1204094191)])  # fmt: skip
def test_the_example_of_another_package_has_its_values(method: Method, rate: float, quality: float) -> None:
    """The curves in the documentation of `bjontegaard` (FAU), and what its version 1.3.0 makes of them."""
    assert bd_rate(EXAMPLE, EXAMPLE_OTHER, method) == pytest.approx(rate, abs=1e-8)
    assert bd_quality(EXAMPLE, EXAMPLE_OTHER, method) == pytest.approx(quality, abs=1e-9)


def test_the_default_is_pchip_which_two_straight_points_suffice_for() -> None:
    anchor, other = [(100.0, 30.0), (1000.0, 40.0)], [(50.0, 30.0), (500.0, 40.0)]
    assert bd_rate(anchor, other) == pytest.approx(-50)
    assert bd_rate(ANCHOR, OTHER) == bd_rate(ANCHOR, OTHER, "pchip")


def test_quality_between_the_points_of_one_curve_only_counts_where_both_are() -> None:
    """The other curve goes on to a quality that the anchor never reaches: that part changes nothing much."""
    longer = [*scaled(ANCHOR, rate=0.8), (9000.0, 45.0)]
    assert bd_rate(ANCHOR, longer) == pytest.approx(-20, abs=1.5)


def test_the_quality_at_a_rate_is_scipy_s_and_that_of_the_points_at_theirs() -> None:
    expected = PchipInterpolator(np.log([rate for rate, _ in ANCHOR]), [quality for _, quality in ANCHOR])
    for rate in np.geomspace(100.001, 1999.9, 40):
        assert quality_at(ANCHOR, float(rate)) == pytest.approx(float(expected(np.log(rate))))
    for rate, quality in ANCHOR:
        assert quality_at(ANCHOR[::-1], rate) == pytest.approx(quality)
    for rate in (99.0, 2001.0, 0.0):
        with pytest.raises(InputError, match=rf"a rate of {rate:g} lies outside the curve's \(100 to 2000\)"):
            quality_at(ANCHOR, rate)


BAD: list[tuple[Curve, Method, str]] = [
    (ANCHOR[:3], "cubic", "curve of 3 points; cubic needs 4"),
    (ANCHOR[:1], "pchip", "curve of 1 points; pchip needs 2"),
    ([(1.0, 30.0), (2.0, 31.0), (3.0, 30.5), (4.0, 33.0)], "cubic", "expected quality to rise with rate"),
    ([(1.0, 30.0), (2.0, 30.0)], "pchip", "expected quality to rise with rate"),
    ([(1.0, 30.0), (1.0, 31.0)], "pchip", "expected quality to rise with rate"),
    ([(0.0, 30.0), (1.0, 31.0)], "pchip", "rates above 0"),
    ([(1.0, 30.0), (2.0, math.inf)], "pchip", "expected finite numbers"),
]


@pytest.mark.parametrize(("curve", "method", "problem"), BAD)
@pytest.mark.parametrize("metric", [bd_rate, bd_quality])
def test_what_is_no_curve_is_refused(metric: object, curve: Curve, method: Method, problem: str) -> None:
    assert callable(metric)
    for pair in ((ANCHOR, curve), (curve, ANCHOR)):
        with pytest.raises(InputError, match=problem):
            metric(*pair, method)


@pytest.mark.parametrize("method", METHODS)
def test_curves_that_do_not_overlap_are_refused(method: Method) -> None:
    with pytest.raises(InputError, match=r"qualities \(28\.1 to 37\.1 and 48\.1 to 57\.1\) do not overlap"):
        bd_rate(ANCHOR, scaled(ANCHOR, quality=20), method)
    with pytest.raises(InputError, match=r"log rates .* do not overlap"):
        bd_quality(ANCHOR, scaled(ANCHOR, rate=100), method)
