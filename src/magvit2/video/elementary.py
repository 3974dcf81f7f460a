"""Clips as elementary streams, in memory: H.264, H.265, AV1 (PyAV's encoders) and H.266 (VVenC), for comparisons.

The encoders run as a user would run them: medium presets, their own psychovisual defaults, a key frame every 250
frames at most (VVenC: 256, a multiple of its group of 32), one thread. A stream holds parameter sets and pictures: SEI
messages (x264 writes 672 bytes about itself) and access unit delimiters are taken out; what is left is what is decoded.

A clip gives the same bytes each time (with glibc; elsewhere x265's may differ by a few from run to run).
"""

import ctypes
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from magvit2.errors import InputError
from magvit2.video.doors import VideoFrame, errors_as_media, load_av
from magvit2.video.ffmpeg import run_ffmpeg
from magvit2.video.yuv import H273_MATRIX, LIMITED_RANGE, YuvClip

_MAX_KEY_INTERVAL = 250
_VVENC_KEY_INTERVAL = 256
_START_CODE = re.compile(rb"\x00?\x00\x00\x01")
_M_PERTURB = -6  # malloc.h
_X86 = ("x86_64", "amd64", "i686")
_VVENC_MATRIX = {"bt601": "smpte170m", "bt709": "bt709"}


@dataclass(frozen=True)
class Pass:
    """One run of an encoder: at a constant quality, or at a bit rate as pass 1 or 2 with a file of statistics."""

    quality: float = 0.0
    bits_per_s: int = 0
    number: int = 0
    stats: Path = Path()


@dataclass(frozen=True)
class VideoCodec:
    """An encoder, its settings from coarse to fine, and what decodes its streams.

    `scale` names the settings ("crf", "qp"); `run` codes a clip once, with every unit that the encoder writes.
    """

    name: str
    protocol: str
    scale: str
    qualities: tuple[float, ...]
    has_two_passes: bool
    min_side: int
    decoder: str
    run: Callable[[YuvClip, Fraction, Pass], bytes]
    clean: Callable[[bytes], bytes] = bytes

    def encode(self, clip: YuvClip, fps: Fraction, quality: float) -> bytes:
        """Return the stream of a clip at a constant quality. Raises InputError for tiny frames, MediaError."""
        return self._encode(clip, fps, [Pass(quality=quality)])

    def encode_in_two_passes(self, clip: YuvClip, fps: Fraction, bits_per_s: float) -> bytes:
        """Return the stream of a clip at about a bit rate; bytes are missed on short clips.

        Raises InputError for tiny frames, MediaError where the encoder refuses (a rate that is too low, say).
        """
        assert self.has_two_passes
        with tempfile.TemporaryDirectory(prefix="magvit2-") as folder:
            stats = Path(folder) / "stats"
            return self._encode(clip, fps, [Pass(0.0, round(bits_per_s), number, stats) for number in (1, 2)])

    def decode(self, stream: bytes) -> list[VideoFrame]:
        """Return the frames of a stream, as the decoder gives them (VVenC's have 10 bits). Raises MediaError."""
        with errors_as_media(self.name, "its stream cannot be decoded"):
            context = load_av().CodecContext.create(self.decoder, "r")
            context.thread_count = 1
            packets = [*context.parse(stream), *context.parse(None)]
            return [frame for packet in [*packets, None] for frame in context.decode(packet)]

    def _encode(self, clip: YuvClip, fps: Fraction, passes: list[Pass]) -> bytes:
        height, width = clip.coded_size
        if min(height, width) < self.min_side:
            raise InputError(f"{self.name} codes sides of {self.min_side} pixels or more; got {height} x {width}")
        with errors_as_media(self.name, f"{width} x {height} frames cannot be encoded"):
            streams = [self.run(clip, fps, one) for one in passes]
        return self.clean(streams[-1])


def _options_x264(one: Pass) -> dict[str, str]:
    options = {"preset": "medium", "g": str(_MAX_KEY_INTERVAL)}
    if platform.machine().lower() in _X86:
        # Its AVX-512 code reads memory that nobody wrote and gives other streams than SSE4 and AVX2, which agree.
        options["x264-params"] = "asm=sse4"
    if one.number:
        return {**options, "stats": str(one.stats)}
    return {**options, "crf": f"{one.quality:g}"}


def _options_x265(one: Pass) -> dict[str, str]:
    inner = f"keyint={_MAX_KEY_INTERVAL}:info=0:pools=none:frame-threads=1:log-level=none"
    if one.number:
        return {"preset": "medium", "x265-params": f"{inner}:pass={one.number}:stats={one.stats}"}
    return {"preset": "medium", "x265-params": inner, "crf": f"{one.quality:g}"}


def _options_svtav1(one: Pass) -> dict[str, str]:
    return {"preset": "5", "g": str(_MAX_KEY_INTERVAL), "crf": f"{one.quality:g}", "svtav1-params": "lp=1"}


def _av_encoder(encoder: str, options: Callable[[Pass], dict[str, str]]) -> Callable[[YuvClip, Fraction, Pass], bytes]:
    """Return `run` of a codec that PyAV has."""

    def run(clip: YuvClip, fps: Fraction, one: Pass) -> bytes:
        av = load_av()
        context = av.CodecContext.create(encoder, "w")
        context.height, context.width = clip.coded_size
        context.pix_fmt, context.framerate, context.time_base = "yuv420p", fps, 1 / fps
        context.colorspace, context.color_range = H273_MATRIX[clip.matrix], LIMITED_RANGE
        context.thread_count = 1
        context.options = options(one)
        if one.number:
            context.bit_rate = one.bits_per_s
            flags = av.codec.context.Flags
            context.flags |= flags.pass1 if one.number == 1 else flags.pass2
        with _quiet_svtav1(), _usual_priority(), _filled_memory():
            packets = []
            for index, frame in enumerate(clip.frames):
                frame.pts, frame.time_base = index, 1 / fps
                packets += context.encode(frame)
            packets += context.encode(None)
        return b"".join(bytes(packet) for packet in packets)

    return run


@contextmanager
def _quiet_svtav1() -> Iterator[None]:
    """Keep SVT-AV1 from writing to standard error; it has no other switch than an environment variable."""
    name = "SVT_LOG"
    before = os.environ.get(name)
    os.environ[name] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def _usual_priority() -> Iterator[None]:
    """Take back the real-time priority that SVT-AV1 gives to its caller where that is root.

    What is started later would inherit it, and VVenC's threads, which wait for each other busily, then starve the rest
    of the machine and themselves.
    """
    if sys.platform != "linux":
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, parameters)


@contextmanager
def _filled_memory() -> Iterator[None]:
    """Have glibc fill what it allocates: x264 and x265 read memory that nobody wrote, and their bytes vary with it."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        yield
        return
    mallopt(_M_PERTURB, 1)
    try:
        yield
    finally:
        mallopt(_M_PERTURB, 0)


def _run_vvenc(clip: YuvClip, fps: Fraction, one: Pass) -> bytes:
    height, width = clip.coded_size
    raw = f"-f rawvideo -pix_fmt yuv420p -s {width}x{height} -r {fps} -i pipe:".split()
    matrix = _VVENC_MATRIX[clip.matrix]
    how = f"-pix_fmt yuv420p10le -colorspace {matrix} -color_range tv -c:v libvvenc -preset medium -threads 1".split()
    rate = ["-qp", f"{one.quality:g}"]
    if one.number:
        rate = ["-b:v", str(one.bits_per_s), "-pass", str(one.number), "-passlogfile", str(one.stats)]
    output = ["-g", str(_VVENC_KEY_INTERVAL), "-f", "vvc", "pipe:"]
    return run_ffmpeg([*raw, *how, *rate, *output], clip.planes(), "VVenC")


def _without_units(kind: Callable[[bytes], int], unwanted: set[int]) -> Callable[[bytes], bytes]:
    """Return a filter of byte streams (ITU-T H.264 annex B) that leaves out NAL units of some types.

    `kind` reads the type from a unit's first two bytes. The start code of a unit behind a gap becomes the four-byte one
    that begins an access unit.
    """

    def clean(stream: bytes) -> bytes:
        matches = list(_START_CODE.finditer(stream))
        ends = [match.start() for match in matches[1:]] + [len(stream)]
        parts, after_gap = [], False
        for match, end in zip(matches, ends, strict=True):
            unit = stream[match.end() : end]
            if kind(unit[:2]) not in unwanted:
                parts += [b"\x00\x00\x00\x01" if after_gap else match.group(), unit]
                after_gap = False
            else:
                after_gap = True
        return b"".join(parts)

    return clean


def _steps(coarse: float, fine: float, step: float) -> tuple[float, ...]:
    return tuple(coarse - step * index for index in range(round((coarse - fine) / step) + 1))


_H264_UNWANTED, _H265_UNWANTED, _H266_UNWANTED = {6, 9}, {35, 39, 40}, {20, 23, 24}  # SEI and delimiters
_COMMON = "psychovisual defaults, one thread"


def _libx26(
    name: str, min_side: int, decoder: str, options: Callable[[Pass], dict[str, str]], clean: Callable[[bytes], bytes]
) -> VideoCodec:
    """Return x264 or x265, which have the same scale and two passes."""
    return VideoCodec(
        name=name,
        protocol=f"lib{name}, preset medium, keyint {_MAX_KEY_INTERVAL}, {_COMMON}, Annex B bytes without SEI",
        scale="crf",
        qualities=_steps(51, 1, 0.25),
        has_two_passes=True,
        min_side=min_side,
        decoder=decoder,
        run=_av_encoder(f"lib{name}", options),
        clean=clean,
    )


X264 = _libx26("x264", 2, "h264", _options_x264, _without_units(lambda head: head[0] & 31, _H264_UNWANTED))
X265 = _libx26("x265", 16, "hevc", _options_x265, _without_units(lambda head: head[0] >> 1 & 63, _H265_UNWANTED))
SVT_AV1 = VideoCodec(
    name="svtav1",
    protocol=f"SVT-AV1, preset 5, keyint {_MAX_KEY_INTERVAL}, one thread, bytes of all OBUs",
    scale="crf",
    qualities=_steps(63, 1, 0.25),
    has_two_passes=False,  # FFmpeg hands no statistics to it
    min_side=4,
    decoder="libdav1d",
    run=_av_encoder("libsvtav1", _options_svtav1),
)
VVENC = VideoCodec(
    name="vvenc",
    protocol=f"VVenC, preset medium, 10 bits, keyint {_VVENC_KEY_INTERVAL}, {_COMMON}, Annex B bytes without SEI",
    scale="qp",
    qualities=_steps(63, 1, 1),
    has_two_passes=True,
    min_side=24,
    decoder="vvc",
    run=_run_vvenc,
    clean=_without_units(lambda head: head[1] >> 3, _H266_UNWANTED),
)
VIDEO_CODECS = {codec.name: codec for codec in (X264, X265, SVT_AV1, VVENC)}
