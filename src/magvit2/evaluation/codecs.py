"""Baselines beside a tokenizer: classical video and image codecs at a rate or a quality, a bicubic floor, the identity.

    baseline = parse_baseline("x265@0.083")            # bits per pixel
    coded = baseline.code(frames, fps=Fraction(30))    # uint8 [T, H, W, 3]
    coded.frames, coded.num_bytes, coded.setting       # decoded, bytes of the elementary stream, "crf 33.25"

Names are `x264`, `x265`, `svtav1` @BPP or @crfN; `vvenc` @BPP or @qpN; `jpeg`, `webp`, `avif` @BPP or @qN; `bicubic`
with the strides of its grid (`bicubic@4x8x8`, the default); `identity`. A single frame is an image: video codecs code a
key frame.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from magvit2.data.frames import Frames
from magvit2.errors import InputError
from magvit2.evaluation.floor import bicubic_floor
from magvit2.evaluation.rate_control import MIN_TWO_PASS_BYTES, RATE_PROTOCOL, Attempt, meet_size
from magvit2.tokens import TokenSpace
from magvit2.video.elementary import VIDEO_CODECS, VideoCodec
from magvit2.video.stills import STILL_CODECS, StillCodec
from magvit2.video.yuv import YUV_PROTOCOL, to_rgb, to_yuv420

_KNOWN = (
    "x264, x265, svtav1 (@BPP or @crfN), vvenc (@BPP or @qpN), jpeg, webp, avif (@BPP or @qN), "
    "bicubic (alone or @TxHxW), identity"
)
_DEFAULT_STRIDES = (4, 8, 8)
_DEFAULT_FPS = Fraction(25)


@dataclass(frozen=True)
class Coded:
    """A clip after a codec: frames uint8 [T, H, W, 3] of its own size, bytes they took, and the encoder's setting."""

    frames: Frames
    num_bytes: int
    setting: str

    @property
    def bits_per_pixel(self) -> float:
        """Bits over the pixels of all frames."""
        return self.num_bytes * 8 / (self.frames.size // 3)


Coder = Callable[[Frames, Fraction], Coded]


@dataclass(frozen=True)
class Baseline:
    """A codec with its target; `protocol` says in one line how its numbers come about."""

    name: str
    protocol: str
    coder: Coder

    def code(self, frames: Frames, fps: Fraction = _DEFAULT_FPS) -> Coded:
        """Return frames uint8 [T, H, W, 3] after coding and decoding, with the bytes that they took.

        Raises InputError for frames smaller than the codec takes, MissingDependencyError, MediaError where it fails.
        """
        if 0 in frames.shape or fps <= 0:
            raise InputError(f"got frames of shape {list(frames.shape)} at {fps} fps; expected some of both")
        return self.coder(frames, fps)


def parse_baseline(name: str) -> Baseline:
    """Return the baseline of a name such as "x264@0.0703" (bits per pixel), "x265@crf28", "jpeg@q30" or "bicubic".

    Raises InputError in one line that lists the known names.
    """
    codec, _, target = name.partition("@")
    if codec in VIDEO_CODECS and target:
        video = VIDEO_CODECS[codec]
        bpp, quality = _target(name, target, video.scale, video.qualities)
        rate = RATE_PROTOCOL if bpp else f"constant {video.scale} {quality:g}"
        return Baseline(name, f"{video.protocol}; {YUV_PROTOCOL}; {rate}", _video_coder(video, bpp, quality))
    if codec in STILL_CODECS and target:
        still = STILL_CODECS[codec]
        bpp, quality = _target(name, target, "q", still.qualities)
        rate = "quality by bisection, one for all frames" if bpp else f"quality {quality:g}"
        return Baseline(name, f"{still.protocol}; {rate}", _still_coder(still, bpp, quality))
    if codec == "bicubic":
        strides = _strides(name, target)
        protocol = "bicubic down to the {} x {} x {} grid and up, antialiased, 24 bits a position".format(*strides)
        return Baseline(name, protocol, _bicubic_coder(strides))
    if name == "identity":
        return Baseline(name, "the frames themselves, 24 bits a pixel", _identity)
    raise _unknown(name)


def _unknown(name: str) -> InputError:
    return InputError(f"baseline {name!r} is not known; expected one of {_KNOWN}")


def _target(name: str, target: str, scale: str, qualities: tuple[float, ...]) -> tuple[float, float]:
    """Return (bits per pixel, 0) or (0, quality) from what follows the @ of a name."""
    match = re.fullmatch(rf"({scale})?(\d+(?:\.\d+)?)", target)
    value = float(match[2]) if match else -1.0
    if not match or (not match[1] and value == 0):
        raise _unknown(name)
    if not match[1]:
        return value, 0.0
    if value not in qualities:
        low, high, step = min(qualities), max(qualities), abs(qualities[0] - qualities[1])
        raise InputError(f"baseline {name!r}: expected {scale} from {low:g} to {high:g} in steps of {step:g}")
    return 0.0, value


def _strides(name: str, target: str) -> tuple[int, int, int]:
    if "@" not in name:
        return _DEFAULT_STRIDES
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", target)
    if not match:
        raise _unknown(name)
    return int(match[1]), int(match[2]), int(match[3])


def _video_coder(codec: VideoCodec, bpp: float, quality: float) -> Coder:
    def code(frames: Frames, fps: Fraction) -> Coded:
        clip = to_yuv420(frames)

        def by_quality(value: float) -> Attempt:
            return Attempt((codec.encode(clip, fps, value),), f"{codec.scale} {value:g}")

        def by_bitrate(bits_per_s: float) -> Attempt:
            stream = codec.encode_in_two_passes(clip, fps, bits_per_s)
            return Attempt((stream,), f"two-pass at {bits_per_s:.0f} bit/s")

        if bpp:
            target = _target_bytes(frames, bpp)
            has_rate = codec.has_two_passes and len(frames) > 1 and target >= MIN_TWO_PASS_BYTES
            attempt = meet_size(
                target,
                by_quality,
                codec.qualities,
                by_bitrate if has_rate else None,
                float(len(frames) / fps),
            )
        else:
            attempt = by_quality(quality)
        decoded = to_rgb(codec.decode(attempt.streams[0]), clip)
        return Coded(decoded, attempt.num_bytes, attempt.setting)

    return code


def _still_coder(codec: StillCodec, bpp: float, quality: float) -> Coder:
    def code(frames: Frames, fps: Fraction) -> Coded:
        def by_quality(value: float) -> Attempt:
            return Attempt(tuple(codec.encode(frame, value) for frame in frames), f"quality {value:g}")

        attempt = by_quality(quality)
        if bpp:
            attempt = meet_size(_target_bytes(frames, bpp), by_quality, codec.qualities)
        decoded = np.stack([codec.decode(data) for data in attempt.streams])
        return Coded(decoded, attempt.num_bytes, attempt.setting)

    return code


def _bicubic_coder(strides: tuple[int, int, int]) -> Coder:
    space = TokenSpace(radices=(2,) * 24, strides=strides)

    def code(frames: Frames, fps: Fraction) -> Coded:
        grid = space.grid_for((frames.shape[0], frames.shape[1], frames.shape[2]))
        return Coded(bicubic_floor(frames, space), 3 * grid[0] * grid[1] * grid[2], "raw")

    return code


def _identity(frames: Frames, fps: Fraction) -> Coded:
    return Coded(frames.copy(), frames.size, "raw")


def _target_bytes(frames: Frames, bpp: float) -> float:
    return bpp * (frames.size // 3) / 8
