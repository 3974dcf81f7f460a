"""Bjontegaard deltas: one number for the distance between two rate-quality curves (VCEG-M33, 2001).

Curves are points (rate, quality), in any order: a rate above 0 in any unit, a quality that is better when larger and
rises with the rate (for a distance such as LPIPS give its negative). Log-rate and quality are interpolated and the
difference is averaged over what both curves cover. "pchip", the default, is the monotone piecewise cubic of Fritsch and
Carlson, which passes through every point (AOM's test conditions use it); "cubic" is Bjontegaard's own least-squares
cubic.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from magvit2.errors import InputError

Curve = Sequence[tuple[float, float]]
Method = Literal["pchip", "cubic"]
Array = Float[np.ndarray, "_"]

BD_PROTOCOL = "Bjontegaard delta over the common range, log rate, piecewise cubic (PCHIP)"

_MIN_POINTS = {"pchip": 2, "cubic": 4}


def bd_rate(anchor: Curve, other: Curve, method: Method = "pchip") -> float:
    """Return the mean difference in rate at equal quality, in percent of the anchor's; -10 means 10% fewer bits.

    Raises InputError for too few points (2 for pchip, 4 for cubic), rates of 0 or less, quality that does not rise with
    rate, and curves whose qualities do not overlap.
    """
    (rates, qualities), (other_rates, other_qualities) = _checked(anchor, method), _checked(other, method)
    low, high = _overlap(qualities, other_qualities, "qualities")
    mean = _mean(other_qualities, other_rates, low, high, method) - _mean(qualities, rates, low, high, method)
    return float(np.expm1(mean) * 100)


def bd_quality(anchor: Curve, other: Curve, method: Method = "pchip") -> float:
    """Return the mean difference in quality at equal rate, in the quality's unit (BD-PSNR in dB); above 0 is better.

    Raises InputError like `bd_rate`, and for curves whose rates do not overlap.
    """
    (rates, qualities), (other_rates, other_qualities) = _checked(anchor, method), _checked(other, method)
    low, high = _overlap(rates, other_rates, "log rates")
    return _mean(other_rates, other_qualities, low, high, method) - _mean(rates, qualities, low, high, method)


def quality_at(curve: Curve, rate: float) -> float:
    """Return the quality of a curve at a rate between those of its points, by "pchip".

    Raises InputError like `bd_rate`, and for a rate outside the curve's.
    """
    x, y = _checked(curve, "pchip")
    at = float(np.log(rate)) if rate > 0 else -np.inf
    if not x[0] <= at <= x[-1]:
        rates = f"{np.exp(x[0]):.4g} to {np.exp(x[-1]):.4g}"
        raise InputError(f"a rate of {rate:.4g} lies outside the curve's ({rates}): there is nothing to compare")
    piece = min(int(np.searchsorted(x, at, side="right")), len(x) - 1) - 1
    powers = (at - x[piece]) ** np.arange(4)
    return float(sum(term[piece] * power for term, power in zip(_pchip_terms(x, y), powers, strict=True)))


def _checked(curve: Curve, method: Method) -> tuple[Array, Array]:
    """Return natural logarithms of the rates, and the qualities, both rising."""
    if len(curve) < _MIN_POINTS[method]:
        raise InputError(f"a curve of {len(curve)} points; {method} needs {_MIN_POINTS[method]} or more")
    points = np.array(sorted(curve), dtype=np.float64)
    if not np.isfinite(points).all() or points[0, 0] <= 0:
        raise InputError(f"a curve of {points.tolist()}: expected finite numbers and rates above 0")
    if (np.diff(points, axis=0) <= 0).any():
        raise InputError(f"a curve of {points.tolist()}: expected quality to rise with rate; leave such points out")
    return np.log(points[:, 0]), points[:, 1]


def _overlap(one: Array, other: Array, what: str) -> tuple[float, float]:
    low, high = max(one[0], other[0]), min(one[-1], other[-1])
    if low >= high:
        ranges = f"{one[0]:.4g} to {one[-1]:.4g} and {other[0]:.4g} to {other[-1]:.4g}"
        raise InputError(f"the curves' {what} ({ranges}) do not overlap: there is nothing to compare")
    return float(low), float(high)


def _mean(x: Array, y: Array, low: float, high: float, method: Method) -> float:
    """Return the mean of the interpolated y over low .. high."""
    integrate = {"pchip": _pchip_integral, "cubic": _cubic_integral}[method](x, y)
    return (integrate(high) - integrate(low)) / (high - low)


def _cubic_integral(x: Array, y: Array) -> Callable[[float], float]:
    centre, scale = x.mean(), np.ptp(x) / 2  # without them the fit is badly conditioned
    integral = np.polyint(np.polyfit((x - centre) / scale, y, 3))
    return lambda at: float(scale * np.polyval(integral, (at - centre) / scale))


def _pchip_integral(x: Array, y: Array) -> Callable[[float], float]:
    """Return the exact integral, from x[0] on, of the piecewise cubic Hermite interpolant."""
    steps, terms = np.diff(x), _pchip_terms(x, y)

    def pieces(lengths: Array) -> Array:
        total: Array = np.sum([term / power * lengths**power for power, term in enumerate(terms, 1)], axis=0)
        return total

    return lambda at: float(pieces(np.clip(at - x[:-1], 0, steps)).sum())


def _pchip_terms(x: Array, y: Array) -> tuple[Array, Array, Array, Array]:
    """Return the coefficients of 1, d, d^2 and d^3 of every piece of the interpolant, d from the piece's beginning."""
    steps, slopes = np.diff(x), _pchip_slopes(x, y)
    secants = np.diff(y) / steps
    square = (3 * secants - 2 * slopes[:-1] - slopes[1:]) / steps
    cube = (slopes[:-1] + slopes[1:] - 2 * secants) / steps**2
    return y[:-1], slopes[:-1], square, cube


def _pchip_slopes(x: Array, y: Array) -> Array:
    """Return the slopes at the points: weighted harmonic means (Fritsch and Butland 1984), one-sided at the ends."""
    steps = np.diff(x)
    secants = np.diff(y) / steps
    if len(x) == 2:
        return np.repeat(secants, 2)
    left, right = 2 * steps[1:] + steps[:-1], steps[1:] + 2 * steps[:-1]
    inside = (left + right) / (left / secants[:-1] + right / secants[1:])  # secants are above 0: curves rise
    ends = [_end_slope(*steps[:2], *secants[:2]), _end_slope(*steps[:-3:-1], *secants[:-3:-1])]
    return np.concatenate([ends[:1], inside, ends[1:]])


def _end_slope(step: float, next_step: float, secant: float, next_secant: float) -> float:
    """Return the three-point slope at an end, kept between 0 and 3 secants so that the curve stays monotone."""
    slope = ((2 * step + next_step) * secant - step * next_secant) / (step + next_step)
    return float(np.clip(slope, 0, 3 * secant))
