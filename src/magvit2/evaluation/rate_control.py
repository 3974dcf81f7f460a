"""Meeting a size in bytes with an encoder: two passes with a corrected bit rate, or a search over its quality scale."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from magvit2.errors import MediaError

TOLERANCE = 0.05
_GOOD_ENOUGH = 0.02
_MAX_RATES = 4
_MAX_CORRECTION = 4.0

MIN_TWO_PASS_BYTES = 3000  # below, parameter sets mislead rate control: x265's frames are up to 1.3 dB worse

RATE_PROTOCOL = (
    f"two-pass at the target bit rate, corrected up to {_MAX_RATES - 1} times, where the encoder has two passes; a "
    f"bisection of its quality scale where it has not, for single frames, under {MIN_TWO_PASS_BYTES} bytes, "
    f"and where the size is missed by {TOLERANCE:.0%}; the nearest size counts"
)


@dataclass(frozen=True)
class Attempt:
    """What an encoder made: one byte string for a video, one for each frame of still images, and its setting."""

    streams: tuple[bytes, ...]
    setting: str

    @property
    def num_bytes(self) -> int:
        """Size in bytes."""
        return sum(map(len, self.streams))


def meet_size(
    target: float,
    by_quality: Callable[[float], Attempt],
    qualities: Sequence[float],
    by_bitrate: Callable[[float], Attempt] | None = None,
    duration_s: float = 1.0,
) -> Attempt:
    """Return the attempt whose size is nearest to `target` bytes; how near depends on the encoder.

    `qualities` go from coarse to fine; sizes are expected to rise with them. Raises what `by_quality` raises.
    """
    found = [] if by_bitrate is None else _attempts_at_rates(target, by_bitrate, duration_s)
    if not found or _miss(_nearest(found, target), target) > TOLERANCE:
        found += _bisect(target, by_quality, qualities)
    return _nearest(found, target)


def _attempts_at_rates(target: float, by_bitrate: Callable[[float], Attempt], duration_s: float) -> list[Attempt]:
    """Return attempts at bit rates, each corrected by how the last one missed; none where the rate is refused."""
    found: list[Attempt] = []
    bits_per_s = target * 8 / duration_s
    while len(found) < _MAX_RATES and not (found and _miss(found[-1], target) <= _GOOD_ENOUGH):
        try:
            found.append(by_bitrate(bits_per_s))
        except MediaError:  # encoders refuse rates that they cannot reach
            break
        correction = target / max(1, found[-1].num_bytes)
        bits_per_s *= min(_MAX_CORRECTION, max(1 / _MAX_CORRECTION, correction))
    return found


def _bisect(target: float, by_quality: Callable[[float], Attempt], qualities: Sequence[float]) -> list[Attempt]:
    """Return the attempts of a binary search; the two around the target are among them."""
    found = []
    low, high = 0, len(qualities) - 1
    while low <= high:
        middle = (low + high) // 2
        found.append(by_quality(qualities[middle]))
        if found[-1].num_bytes > target:
            high = middle - 1
        else:
            low = middle + 1
    return found


def _nearest(attempts: Sequence[Attempt], target: float) -> Attempt:
    return min(attempts, key=lambda attempt: _miss(attempt, target))


def _miss(attempt: Attempt, target: float) -> float:
    return abs(attempt.num_bytes - target) / target
