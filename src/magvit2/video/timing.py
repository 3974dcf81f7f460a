"""Time in a video file: how many frames it promises, at what rate, and whether frame n can be reached by seeking."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from magvit2.video.container_size import is_cut_short
from magvit2.video.containers import open_container
from magvit2.video.doors import InputContainer, VideoStream, load_av
from magvit2.video.stretch import Medium

DEFAULT_FPS = Fraction(25)  # what players assume for a raw stream that does not say
_MAX_PACKETS, _MAX_BYTES = 256, 1 << 24  # how far into a file without an index to look
_MAX_REORDER = 16
_RAW_STREAMS = ("h264", "hevc", "mpegvideo")


@dataclass(frozen=True)
class Timing:
    """What a container says of its frames, before any is decoded."""

    fps: Fraction
    num_frames: int | None  # that the file promises to show; None when it does not say
    is_variable_rate: bool
    is_cut: bool  # the file ends before its own length field says
    seek_ticks: int | None  # ticks from frame to frame, where the index proves that frame n is shown at n x seek_ticks
    first_seek_target: int | None  # the lowest frame number for which seeking can help: the second key frame


def read_timing(path: Medium, container: InputContainer, stream: VideoStream) -> Timing:
    """Return the timing of an open video; reads tables, and packets (undecoded) where there are no tables."""
    if "mov" in container.format.name.split(","):
        return _from_index(path, stream)
    if container.format.name == "gif":
        return _from_gif(path, stream)
    if container.format.name in _RAW_STREAMS:  # no times at all; the stream itself may state its rate
        return Timing(stream.codec_context.framerate or DEFAULT_FPS, None, False, False, None, None)
    return _from_packets(path, stream)


def _from_index(path: Medium, stream: VideoStream) -> Timing:
    """MP4 and MOV: the index lists every stored frame. Fragmented files list only some, and promise nothing."""
    entries = list(stream.index_entries)
    complete = stream.frames > 0 and len(entries) == stream.frames
    steps = [after.timestamp - before.timestamp for before, after in pairwise(entries)]
    num_shown = sum(not entry.is_discard for entry in entries)
    keys = [number for number, entry in enumerate(entries) if entry.is_keyframe]
    regular = complete and len(set(steps)) == 1 and num_shown == len(entries) and stream.start_time is not None
    regular = regular and keys[:1] == [0] and stream.duration == steps[0] * len(entries)
    return Timing(
        fps=stream.average_rate or stream.guessed_rate or DEFAULT_FPS,
        num_frames=num_shown if complete else None,
        is_variable_rate=_varies(steps),
        is_cut=is_cut_short(path),
        seek_ticks=steps[0] if regular else None,
        first_seek_target=keys[1] if regular and len(keys) > 1 else None,
    )


def _from_packets(path: Medium, stream: VideoStream) -> Timing:
    """Other containers: look at the times of the first packets."""
    fps = stream.average_rate or stream.guessed_rate or DEFAULT_FPS
    times, _ = _packet_times(path, _MAX_PACKETS, _MAX_BYTES)
    is_variable_rate = _varies([after - before for before, after in pairwise(times)])
    if is_variable_rate:  # a header's rate is then a nominal one
        fps = (len(times) - 1) / ((times[-1] - times[0]) * Fraction(stream.time_base or 1))
    return Timing(fps, stream.frames or None, is_variable_rate, is_cut_short(path), None, None)


def _from_gif(path: Medium, stream: VideoStream) -> Timing:
    """GIF: small, so all packets are looked at; each is a frame."""
    times, durations = _packet_times(path, math.inf, math.inf)
    total_s = (times[-1] + durations[-1] - times[0]) * Fraction(stream.time_base or 0) if times else Fraction(0)
    fps = len(times) / total_s if total_s else DEFAULT_FPS
    is_cut = is_cut_short(path)
    return Timing(fps, None if is_cut else len(times), _varies(durations), is_cut, None, None)


def _packet_times(path: Medium, max_packets: float, max_bytes: float) -> tuple[list[int], list[int]]:
    """Return the presentation times (sorted) and durations of the first packets of a file's video stream, in ticks."""
    pairs, num_bytes = [], 0
    container, stream = open_container(path)
    with container, suppress(load_av().error.FFmpegError):  # damage is for the decoder to report, at its place
        for packet in container.demux(stream):
            num_bytes += packet.size
            if packet.pts is not None:
                pairs.append((packet.pts, packet.duration or 0))
            if len(pairs) >= max_packets or num_bytes >= max_bytes:
                pairs = sorted(pairs)[:-_MAX_REORDER]  # frames shown earlier may follow the last packet looked at
                break
    pairs.sort()
    return [time for time, _ in pairs], [duration for _, duration in pairs]


def _varies(steps: Sequence[int]) -> bool:
    """Return whether the time from frame to frame varies by more than the rounding of a coarse clock."""
    if not steps:
        return False
    return max(steps) - min(steps) > max(2, 0.1 * sum(steps) / len(steps))
