"""VMAF (Li et al. 2016), models v0.6.1 and v0.6.1neg, by libvmaf in the FFmpeg program of imageio-ffmpeg.

NEG is the model without enhancement gain: sharpening does not raise it. Both models were made for 1080p at a distance
of three heights; on small clips compare values, and read nothing into one alone.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from magvit2.errors import InputError
from magvit2.metrics.frames import check_pair
from magvit2.video.ffmpeg import run_ffmpeg
from magvit2.video.yuv import YUV_PROTOCOL, to_yuv420

Frames = UInt8[np.ndarray, "T H W 3"]

MIN_SIDE = 32  # libvmaf crashes at 16
VMAF_PROTOCOL = f"VMAF v0.6.1 and v0.6.1neg (libvmaf), mean over frames, native size; {YUV_PROTOCOL}"

_MODELS = r"version=vmaf_v0.6.1\\:name=vmaf|version=vmaf_v0.6.1neg\\:name=vmaf_neg"


@dataclass(frozen=True)
class Vmaf:
    """Scores of one clip, 0 .. 100: means over frames of VMAF v0.6.1 (`vmaf`) and of v0.6.1neg (`vmaf_neg`)."""

    vmaf: float
    vmaf_neg: float


def vmaf(frames: Frames, decoded: Frames) -> Vmaf:
    """Return VMAF of decoded frames against the true ones; an untouched clip has 97 to 100, less the stiller it is.

    Both clips become 8-bit yuv420p (odd sides padded to even ones) in temporary files. Raises InputError unless both
    are uint8 of one shape, with a frame at least and sides of 32 pixels; MissingDependencyError without imageio-ffmpeg
    or PyAV.
    """
    check_pair(frames, decoded, 4)
    if not len(frames):
        raise InputError("a clip without frames: VMAF expects one or more")
    height, width = frames.shape[1:3]
    if min(height, width) < MIN_SIDE:
        raise InputError(f"VMAF needs sides of {MIN_SIDE} pixels or more; got {height} x {width}")
    with tempfile.TemporaryDirectory(prefix="magvit2-") as name:
        folder = Path(name)
        return _measure(folder, _raw_input(folder / "decoded.yuv", decoded), _raw_input(folder / "true.yuv", frames))


def _raw_input(path: Path, frames: Frames) -> list[str]:
    """Write raw planes and return FFmpeg's arguments that read them."""
    clip = to_yuv420(frames)
    path.write_bytes(clip.planes())
    height, width = clip.coded_size
    return f"-f rawvideo -pix_fmt yuv420p -s {width}x{height} -r 25 -i {path.name}".split()


def _measure(folder: Path, decoded: list[str], true: list[str]) -> Vmaf:
    graph = f"[0:v][1:v]libvmaf=model={_MODELS}:log_fmt=json:log_path=vmaf.json:n_threads=1"
    run_ffmpeg([*decoded, *true, "-lavfi", graph, "-f", "null", "-"], b"", "VMAF", folder)
    means = json.loads((folder / "vmaf.json").read_text(encoding="utf-8"))["pooled_metrics"]
    return Vmaf(float(means["vmaf"]["mean"]), float(means["vmaf_neg"]["mean"]))
