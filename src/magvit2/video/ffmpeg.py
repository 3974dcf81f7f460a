"""The door to imageio-ffmpeg: its FFmpeg program has what PyAV's lacks, the VVenC encoder and VMAF."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from magvit2.errors import MediaError, MissingDependencyError

_EXTRA = "VVenC and VMAF need imageio-ffmpeg: pip install 'magvit2[codecs]'"
_MAX_REASON = 160


def ffmpeg_path() -> str:
    """Return the path of the FFmpeg program that imageio-ffmpeg brings. Raises MissingDependencyError."""
    try:
        import imageio_ffmpeg
    except ImportError:
        raise MissingDependencyError(_EXTRA) from None
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        raise MissingDependencyError(f"imageio-ffmpeg came without its program; {_EXTRA}") from None


def run_ffmpeg(arguments: Sequence[str], data: bytes, task: str, folder: Path | None = None) -> bytes:
    """Return what FFmpeg writes to standard output, given these arguments, `data` to read and a folder to run in.

    Raises MissingDependencyError without imageio-ffmpeg, MediaError ("TASK failed (why)") where FFmpeg fails.
    """
    command = [ffmpeg_path(), "-hide_banner", "-loglevel", "error", *arguments]
    done = subprocess.run(command, input=data, capture_output=True, check=False, cwd=folder)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[0] if lines else f"FFmpeg ended with {done.returncode}"
        raise MediaError(f"{task} failed ({reason[:_MAX_REASON]})")
    return done.stdout
