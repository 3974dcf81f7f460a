"""Opening video files: the container and its first true video stream, or one line that says why not."""

from pathlib import Path

from magvit2.errors import MediaError
from magvit2.video.container_size import lacks_mp4_index
from magvit2.video.doors import InputContainer, VideoStream, load_av
from magvit2.video.stretch import Medium

_EXPECTED = "expected MP4, MOV, MKV, WebM, AVI, GIF or raw H.264 with at least one frame"
# FFmpeg also reads playlists, which name other files, and draws text files as terminals: neither is a video here.
_DEMUXERS = "mov,matroska,webm,avi,gif,h264,hevc,mpegts,mpeg,mpegvideo,flv,asf,ogg,yuv4mpegpipe,ivf"
_OPTIONS = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"}
_MAX_SMALL_PIXELS = 352 * 288


def open_container(path: Medium) -> tuple[InputContainer, VideoStream]:
    """Return an open container and its first video stream that is not cover art. Raises MediaError."""
    av = load_av()
    try:
        file = str(path.absolute()) if isinstance(path, Path) else path.open()
        container = av.open(file, mode="r", container_options=_OPTIONS, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{path}: {_why_unreadable(path, error)}") from None
    stream = next((stream for stream in container.streams.video if _is_decodable_video(stream)), None)
    if stream is None:
        container.close()
        raise MediaError(f"{path}: holds no video that can be decoded (sound, an unknown codec, nothing); {_EXPECTED}")
    stream.thread_type = "AUTO"
    if stream.width * stream.height <= _MAX_SMALL_PIXELS:
        stream.thread_count = 1  # starting threads costs more than they save
    return container, stream


def _is_decodable_video(stream: VideoStream) -> bool:
    is_cover_art = bool(stream.disposition & type(stream.disposition).attached_pic)
    context: object = stream.codec_context  # PyAV's stubs do not say that it is None for an unknown codec
    return context is not None and not is_cover_art


def _why_unreadable(path: Medium, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "permission denied; make it readable for this user"
    if lacks_mp4_index(path):
        return "an MP4 without its index (moov): cut short or never finished; copy, download or record it again"
    return f"not a video that can be read; {_EXPECTED}"
