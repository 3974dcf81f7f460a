"""What is measured: distances of pairs, one number for each item, and features whose distributions are compared.

A metric whose network or package is missing stands in `Panel.not_measured` with what it needs; nothing takes its place.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from magvit2.data.frames import Frames
from magvit2.errors import InputError, MissingDependencyError
from magvit2.features import (
    NO_NETWORKS,
    Embedding,
    FrameDistance,
    MissingNetworkError,
    load_inception,
    load_lpips,
    load_mobilenet_embedding,
    load_ported_i3d,
    load_psq,
    load_scripted_i3d,
)
from magvit2.metrics.frames import SSIM_WINDOW, psnr, ssim
from magvit2.metrics.fvd import Windows
from magvit2.metrics.motion import load_motion_embedding
from magvit2.metrics.perceptual import PerceptualDistance
from magvit2.metrics.structural import MS_SSIM_PROTOCOL, POOLED_PSNR_PROTOCOL, MultiScaleSsim, PooledPsnr
from magvit2.metrics.vmaf import MIN_SIDE, VMAF_PROTOCOL, vmaf
from magvit2.video.ffmpeg import ffmpeg_path

Metric = TypeVar("Metric")


@dataclass(frozen=True)
class PairMetric:
    """Values of one item by name, from its frames and what became of them; `names` are all that it may give."""

    name: str
    names: tuple[str, ...]
    protocol: str
    measure: Callable[[Frames, Frames], dict[str, float]]


@dataclass(frozen=True)
class SetMetric:
    """Features of one item, [samples, d], whose distribution is compared; None where it has none (too short a clip)."""

    name: str
    protocol: str
    ddof: int
    embed: Callable[[Frames], Float[Tensor, "n d"] | None]


@dataclass(frozen=True)
class Panel:
    """The metrics of an evaluation, and why others that were asked for are not among them."""

    pairs: tuple[PairMetric, ...]
    sets: tuple[SetMetric, ...] = ()
    not_measured: dict[str, str] = field(default_factory=dict)

    @property
    def value_names(self) -> list[str]:
        """Names of all that may be measured on one item."""
        return [name for metric in self.pairs for name in metric.names]

    @property
    def protocols(self) -> dict[str, str]:
        """The protocol of each metric."""
        metrics: tuple[PairMetric | SetMetric, ...] = (*self.pairs, *self.sets)
        return {metric.name: metric.protocol for metric in metrics}


def open_panel(names: Sequence[str] = (), nets: Path | None = None, device: str | torch.device = "cpu") -> Panel:
    """Return the panel of the metrics called `names` (all that are known by default); PSNR is always among them.

    Raises InputError for a name that is not known, FormatError for a network's file that is not what it should be.
    """
    found, not_measured = open_metrics(_MAKERS, ("psnr", *names) if names else (), nets, device)
    pairs = tuple(metric for metric in found if isinstance(metric, PairMetric))
    sets = tuple(metric for metric in found if isinstance(metric, SetMetric))
    return Panel(pairs, sets, not_measured)


def open_metrics(
    makers: Mapping[str, Callable[[Path, torch.device], Metric]],
    names: Sequence[str],
    nets: Path | None,
    device: str | torch.device,
) -> tuple[list[Metric], dict[str, str]]:
    """Return what the makers called `names` (all by default) make, in the table's order, and what the others need.

    Raises InputError for a name that is not in the table, FormatError for a network's file that is not what it should
    be.
    """
    unknown = [name for name in names if name not in makers]
    if unknown:
        raise InputError(f"metric {unknown[0]!r} is not known; expected some of {', '.join(makers)}")
    found: list[Metric] = []
    not_measured: dict[str, str] = {}
    for name in [name for name in makers if not names or name in names]:
        try:
            found.append(makers[name](nets or NO_NETWORKS, torch.device(device)))
        except (MissingNetworkError, MissingDependencyError) as error:
            not_measured[name] = str(error)
    return found, not_measured


def _psnr(nets: Path, device: torch.device) -> PairMetric:
    def measure(frames: Frames, decoded: Frames) -> dict[str, float]:
        pooled = PooledPsnr()
        for frame, other in zip(frames, decoded, strict=True):
            pooled.add(frame, other)
        mean = np.mean([psnr(frame, other) for frame, other in zip(frames, decoded, strict=True)])
        return {"psnr_db": float(mean), "psnr_pooled_db": pooled.psnr}

    protocol = f"psnr_db: 8-bit RGB, mean over frames, at most 100 dB; {POOLED_PSNR_PROTOCOL}"
    return PairMetric("psnr", ("psnr_db", "psnr_pooled_db"), protocol, measure)


def _ssim(nets: Path, device: torch.device) -> PairMetric:
    def measure(frames: Frames, decoded: Frames) -> dict[str, float]:
        if min(frames.shape[1:3]) < SSIM_WINDOW:
            return {}
        return {"ssim": float(np.mean([ssim(one, two) for one, two in zip(frames, decoded, strict=True)]))}

    blank = np.zeros((1, SSIM_WINDOW, SSIM_WINDOW, 3), np.uint8)
    measure(blank, blank)  # raises without torchmetrics
    protocol = "8-bit RGB, 11x11 Gaussian of sigma 1.5, mirrored borders, mean over frames; none under 11 pixels"
    return PairMetric("ssim", ("ssim",), protocol, measure)


def _ms_ssim(nets: Path, device: torch.device) -> PairMetric:
    def measure(frames: Frames, decoded: Frames) -> dict[str, float]:
        quality = MultiScaleSsim()
        for frame, other in zip(frames, decoded, strict=True):
            quality.add(frame, other)
        return {quality.name.replace("-", "_"): quality.mean} if quality.name else {}

    return PairMetric("ms_ssim", ("ms_ssim", "ms_ssim_3"), MS_SSIM_PROTOCOL, measure)


def _vmaf(nets: Path, device: torch.device) -> PairMetric:
    def measure(frames: Frames, decoded: Frames) -> dict[str, float]:
        if len(frames) < 2 or min(frames.shape[1:3]) < MIN_SIDE:
            return {}
        score = vmaf(frames, decoded)
        return {"vmaf": score.vmaf, "vmaf_neg": score.vmaf_neg}

    ffmpeg_path()  # raises without imageio-ffmpeg
    protocol = f"{VMAF_PROTOCOL}; clips of sides of {MIN_SIDE} pixels or more"
    return PairMetric("vmaf", ("vmaf", "vmaf_neg"), protocol, measure)


def _perceptual(load: Callable[[Path], FrameDistance]) -> "Maker":
    def make(nets: Path, device: torch.device) -> PairMetric:
        distance = load(nets).to(device)
        name = distance.name

        def measure(frames: Frames, decoded: Frames) -> dict[str, float]:
            if min(frames.shape[1:3]) < distance.backbone.min_side:
                return {}
            mean = PerceptualDistance(distance)
            mean.add(frames, decoded)
            return {name: mean.value}

        least = f"none under {distance.backbone.min_side} pixels"
        return PairMetric(name, (name,), f"{PerceptualDistance(distance).protocol}; {least}", measure)

    return make


def _of_frames(load: Callable[[Path, torch.device], Embedding]) -> "Maker":
    def make(nets: Path, device: torch.device) -> SetMetric:
        embed = load(nets, device)
        return SetMetric(embed.name, f"{embed.protocol}; every frame; {divisor(embed)}", embed.ddof, embed)

    return make


def _of_clips(load: Callable[[Path, torch.device], Embedding]) -> "Maker":
    def make(nets: Path, device: torch.device) -> SetMetric:
        embed = load(nets, device)
        windows = Windows(embed.num_frames)

        def features(frames: Frames) -> Float[Tensor, "n d"] | None:
            return None if len(frames) < windows.num_frames else embed(windows.cut(frames))

        protocol = f"{embed.protocol}; {windows.protocol}, shorter clips left out; {divisor(embed)}"
        return SetMetric(embed.name, protocol, embed.ddof, features)

    return make


def divisor(embed: Embedding) -> str:
    """Return what the covariances of an embedding are over, in words."""
    return f"covariance over n - {embed.ddof}" if embed.ddof else "covariance over n"


Maker = Callable[[Path, torch.device], PairMetric | SetMetric]

_MAKERS: Final[dict[str, Maker]] = {
    "psnr": _psnr,
    "ssim": _ssim,
    "ms_ssim": _ms_ssim,
    "psq": _perceptual(load_psq),
    "lpips-alex": _perceptual(lambda nets: load_lpips(nets, "alex")),
    "lpips-vgg": _perceptual(lambda nets: load_lpips(nets, "vgg")),
    "lpips-squeeze": _perceptual(lambda nets: load_lpips(nets, "squeeze")),
    "vmaf": _vmaf,
    "fd-mbv2": _of_frames(load_mobilenet_embedding),
    "fd-mbv2-t": _of_clips(load_motion_embedding),
    "fid": _of_frames(load_inception),
    "fvd-styleganv": _of_clips(load_scripted_i3d),
    "fvd-videogpt": _of_clips(load_ported_i3d),
}

METRICS: Final = tuple(_MAKERS)
