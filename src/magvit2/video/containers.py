"""Opening video files: the container and its first true video stream, or one line that says why not."""

from pathlib import Path

from magvit2.errors import MediaError
from magvit2.video.container_size import lacks_mp4_index
from magvit2.video.doors import InputContainer, VideoStream, load_av

_EXPECTED = "expected MP4, MOV, MKV, WebM, AVI, GIF or raw H.264"
_MAX_SMALL_PIXELS = 352 * 288


def open_container(path: Path) -> tuple[InputContainer, VideoStream]:
    """Return an open container and its first video stream that is not cover art. Raises MediaError."""
    av = load_av()
    try:
        # Only files: a playlist dressed up as a video must not reach the network.
        options = {"protocol_whitelist": "file"}
        container = av.open(str(path.absolute()), mode="r", container_options=options, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError):
        raise MediaError(f"{path}: {_why_unreadable(path)}") from None
    stream = next((stream for stream in container.streams.video if not _is_cover_art(stream)), None)
    if stream is None:
        container.close()
        raise MediaError(f"{path}: holds no video (sound, text or nothing); {_EXPECTED} with at least one frame")
    stream.thread_type = "AUTO"
    if stream.width * stream.height <= _MAX_SMALL_PIXELS:
        stream.thread_count = 1  # starting threads costs more than they save
    return container, stream


def _is_cover_art(stream: VideoStream) -> bool:
    return bool(stream.disposition & type(stream.disposition).attached_pic)


def _why_unreadable(path: Path) -> str:
    if lacks_mp4_index(path):
        return "an MP4 without its index (moov): cut short or never finished; copy, download or record it again"
    return f"not a video that can be read; {_EXPECTED}"
