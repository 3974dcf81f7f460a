"""Which items of a source that nothing splits are held out: a twentieth, by a hash of what they were cut from.

A name is an item's path in the source without its ending; a sample's key; what a list's row says. Its last part may
count clips of one film, `film_0001`, `film-c03`, `ID_000123_000133` (the seconds of a longer video), `v_Jump_g08_c02`.
Such counters are taken off the end, one after another, as long as a name remains, and what is left is the item's
origin. SHA-256 of the origin decides. So an item keeps its side whatever is added, and clips of one film share theirs.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

SHARE = 20
"""One origin in so many is held out."""

_COUNTER = re.compile(
    r"[_-]+(?:(?:c|clip|scene|shot|seg|segment|part|chunk)[_-]?)?\d+(?:\.\d+)?(?:to\d+(?:\.\d+)?)?$", re.IGNORECASE
)
_CAMERA_WORDS = {"dji", "dsc", "dscf", "dscn", "gopr", "img", "mov", "mvi", "pic", "pxl", "vid"}
_SPLIT_WORDS = {"train", "val", "test"}
_COMMON_WORDS = _CAMERA_WORDS | _SPLIT_WORDS | {
    "clip", "file", "frame", "image", "item", "output", "part", "photo", "picture", "sample", "scene", "segment",
    "shot", "video",
}  # fmt: skip
_LEAST_DIGITS = 7  # of a name in digits: a date or a number, but no year and no month


class Named(NamedTuple):
    """One item by its name in the source, and whether it is a clip or an image."""

    name: str
    is_clip: bool


class Sides(NamedTuple):
    """For each item whether it is trained on, and whether it is held out. With too few origins all are both."""

    is_train: list[bool]
    is_val: list[bool]


def origin_of(name: str) -> str:
    """Return what an item was cut from, by its name: the same without the counters at its end."""
    folder, slash, last = name.rpartition("/")
    while (counter := _COUNTER.search(last)) and _is_name(last[: counter.start()]):
        last = last[: counter.start()]
    return folder + slash + last


def sides_of(items: Sequence[Named]) -> Sides:
    """Return the side of each item, by the hash of its origin; where all have one origin, by that of its name.

    Held out is the twentieth with the lowest hashes, and in any case the lowest one. Of clips and of images, the origin
    with the highest hash is always trained on. Where that leaves nothing to hold out, all items are on both sides.
    """
    origins = [origin_of(item.name) for item in items]
    if len(set(origins)) == 1:
        origins = [item.name for item in items]
    places = {origin: place_of(origin) for origin in dict.fromkeys(origins)}
    kept = {_highest(items, origins, places, is_clip=is_clip) for is_clip in (True, False)}
    free = [origin for origin in places if origin not in kept]
    held_out = {origin for origin in free if places[origin] * SHARE < 1 << 256}
    if free and not held_out:
        held_out = {min(free, key=lambda origin: places[origin])}
    is_val = [origin in held_out or not held_out for origin in origins]
    return Sides([origin not in held_out for origin in origins], is_val)


def place_of(origin: str) -> int:
    """Return the SHA-256 of an origin (UTF-8, NFC) as a whole number below 2**256."""
    text = unicodedata.normalize("NFC", origin)  # the same for a folder that was copied from a Mac
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())


def _highest(items: Sequence[Named], origins: Sequence[str], places: dict[str, int], *, is_clip: bool) -> str | None:
    """Return the origin with the highest hash among those of clips or of images, None where there are none."""
    own = {origin for item, origin in zip(items, origins, strict=True) if item.is_clip == is_clip}
    return max(own, key=lambda origin: places[origin], default=None)


def _is_name(text: str) -> bool:
    """Return whether a name says what something is: a word that not every camera and tool writes, or a long number."""
    words = [word for word in re.split(r"[_\W]+", text.lower()) if re.search(r"[^\W\d_]", word)]
    return any(word not in _COMMON_WORDS for word in words) or sum(c.isdigit() for c in text) >= _LEAST_DIGITS
