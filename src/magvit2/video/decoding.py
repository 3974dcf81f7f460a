"""Packets to whole frames with their times; what is cut or damaged ends in an error that counts the frames read."""

from collections.abc import Iterator
from fractions import Fraction

from magvit2.errors import MediaError
from magvit2.video.containers import open_container
from magvit2.video.doors import AvPacket, VideoFrame, errors_as_media, load_av
from magvit2.video.stretch import Medium
from magvit2.video.timing import Timing, read_timing

_ADVICE = "copy or download it again, or ask for fewer frames"


class OpenVideo:
    """A video file, its first true video stream (not cover art), its timing. Raises MediaError when it is no video."""

    def __init__(self, path: Medium) -> None:
        self.path = path
        self.container, self.stream = open_container(path)
        try:
            with errors_as_media(path, "its tables cannot be read"):
                self.timing: Timing = read_timing(path, self.container, self.stream)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def reopen(self) -> None:
        """Go back to the first packet, with a fresh decoder."""
        self.close()
        self.container, self.stream = open_container(self.path)


class _WholeFrames:
    """Iterates over frames from the present packet on and stops at the first that is broken; counts both kinds."""

    def __init__(self, video: OpenVideo) -> None:
        self._stream = video.stream
        self._packets: Iterator[AvPacket] = video.container.demux(video.stream)
        self._codec_error = load_av().error.FFmpegError
        self.num_whole = 0
        self.is_damaged = False

    def __iter__(self) -> Iterator[VideoFrame]:
        while (frames := self._decode_next()) is not None:
            for frame in frames:
                if not frame.is_corrupt:
                    self.num_whole += 1
                    yield frame
                elif self.num_whole:  # before the first whole frame: a stream that was joined between two key frames
                    self.is_damaged = True
                    return

    def _decode_next(self) -> list[VideoFrame] | None:
        """Return the frames that the next packet completes, or None at the end or at damage."""
        try:
            packet = None if self.is_damaged else next(self._packets, None)
            if packet is None:
                return None
            if not packet.is_corrupt:
                return packet.decode()
            self.is_damaged = True  # the file ends inside this packet; frames before it wait in the decoder
            return self._stream.decode(None)
        except self._codec_error:
            self.is_damaged = self.num_whole > 0
            return []


def timed_frames(video: OpenVideo) -> Iterator[tuple[Fraction, VideoFrame]]:
    """Yield (time in seconds from the stream's start, frame) for all frames of a freshly opened file.

    A frame without a time, or with one that is not after the last, is shown one average frame later. Raises MediaError
    after the last whole frame when pictures are damaged or fewer than promised, and when there are none.
    """
    frames, time_s = _WholeFrames(video), -1 / video.timing.fps
    for frame in frames:
        stamp_s = _stamp_s(video, frame)
        time_s = time_s + 1 / video.timing.fps if stamp_s is None or stamp_s <= time_s else stamp_s
        yield time_s, frame
    _check_complete(video, frames.num_whole, frames.is_damaged)


def timed_frames_from(video: OpenVideo, start: int) -> Iterator[tuple[Fraction, VideoFrame]]:
    """Yield (time, frame) from frame `start` on, after seeking to a key frame; nothing where the index proves wrong.

    Only for files whose `timing.seek_ticks` is known: frame n is shown n x seek_ticks after the first.
    """
    ticks, origin = video.timing.seek_ticks or 0, video.stream.start_time or 0
    expected = origin + start * ticks
    video.container.seek(expected, stream=video.stream)
    frames = _WholeFrames(video)
    for frame in frames:
        is_first = frames.num_whole == 1
        if frame.pts is None or (is_first and not (frame.key_frame and frame.pts <= expected)):
            return
        if frame.pts < expected:
            continue
        if frame.pts != expected:
            raise MediaError(
                f"{video.path}: frames are not where the file's index says; expected one at {expected} ticks"
            )
        expected += ticks
        yield _stamp_s(video, frame) or Fraction(0), frame
    if expected > origin + start * ticks:
        _check_complete(video, (expected - origin) // ticks, frames.is_damaged)


def _stamp_s(video: OpenVideo, frame: VideoFrame) -> Fraction | None:
    """Return a frame's own time in seconds from the stream's start, or None where the file has no times."""
    if frame.pts is None or frame.time_base is None:
        return None
    return (frame.pts - (video.stream.start_time or 0)) * Fraction(frame.time_base)


def _check_complete(video: OpenVideo, num_read: int, is_damaged: bool) -> None:
    """Raise MediaError unless a file that was read to its end held what it promised."""
    is_cut, promised = video.timing.is_cut, video.timing.num_frames
    if num_read == 0:
        state = "the file is cut short: none" if is_cut else "none"
        raise MediaError(f"{video.path}: {state} of its frames can be read; expected at least one, copy it again")
    if is_damaged or _is_short(num_read, promised, is_cut):
        state = "cut short" if is_cut else "damaged or cut short"
        of = f" of {promised}" if promised else ""
        raise MediaError(f"{video.path}: the file is {state}: only {num_read}{of} frames can be read; {_ADVICE}")


def _is_short(num_read: int, promised: int | None, is_cut: bool) -> bool:
    """Return whether notably fewer frames were read than promised; whole files may be off by a few.

    AVI headers count placeholders, and frames before the first key frame are counted yet never shown.
    """
    if promised is None:
        return is_cut
    return num_read < promised - (0 if is_cut else max(2, promised // 50))
