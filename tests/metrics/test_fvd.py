"""FVD: which frames are scored, folds, both conventions; the networks are stubs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from magvit2.errors import InputError
from magvit2.features import PortedI3D, load_scripted_i3d
from magvit2.features.files import FoundFile
from magvit2.features.i3d import I3D
from magvit2.metrics.frechet import Gaussian, frechet_distance
from magvit2.metrics.fvd import ClipDistance, Windows


class StubScript(nn.Module):
    """400 numbers of the frames' means, in order."""

    def forward(self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False) -> Tensor:
        assert rescale and resize and return_features
        return x.mean(dim=[3, 4]).flatten(1).repeat(1, 9)[:, :400]


class StubPort(I3D):
    """The same of frames in [-1, 1]."""

    def forward(self, clips: Tensor) -> Tensor:
        return clips.mean(dim=(3, 4)).flatten(1).repeat(1, 9)[:, :400]


def clips(seed: int, n: int = 6, T: int = 17) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, T, 6, 7, 3), dtype=np.uint8)


def numbered(T: int) -> np.ndarray:
    return np.arange(T, dtype=np.uint8).reshape(T, 1, 1, 1).repeat(3, axis=3)


def frames_of(windows: Windows, T: int) -> list[list[int]]:
    return windows.cut(numbered(T))[..., 0, 0, 0].tolist()


def test_the_first_16_of_17_frames_are_scored() -> None:
    assert frames_of(Windows(), 17) == [list(range(16))]
    assert Windows().protocol == "16 frames at stride 1, first 1 window(s) of a clip"


def test_windows_stand_side_by_side() -> None:
    assert frames_of(Windows(3, 1, None), 10) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert frames_of(Windows(3, 2, None), 11) == [[0, 2, 4], [6, 8, 10]]
    assert frames_of(Windows(3, 1, 2), 10) == [[0, 1, 2], [3, 4, 5]]
    assert frames_of(Windows(3, 3), 7) == [[0, 3, 6]]
    assert Windows(3, 2, None).protocol == "3 frames at stride 2, all windows of a clip"


def test_short_clips_are_refused_not_dropped() -> None:
    with pytest.raises(InputError, match="a clip of 30 frames: 16 at stride 2 expect 31 or more"):
        Windows(16, 2).cut(numbered(30))
    for bad in ((0, 1, 1), (16, 0, 1), (16, 1, 0)):
        with pytest.raises(InputError, match="expected numbers of 1 or more"):
            Windows(*bad)


def features(stack: np.ndarray) -> torch.Tensor:
    means = stack[:, :16].transpose(0, 4, 1, 2, 3).astype(np.float64).mean((3, 4)).reshape(len(stack), -1)
    return torch.from_numpy(np.tile(means, 9)[:, :400])


def expected(ddof: int, scale: float, fold: int) -> float:
    real, made = Gaussian(), Gaussian()
    real.add(features(clips(0)) * scale)
    made.add(features(clips(fold + 1)) * scale)
    return frechet_distance(real, made, ddof)


def filled(metric: ClipDistance) -> ClipDistance:
    for clip in clips(0):
        metric.add_real(clip)
    for fold in range(4):
        for clip in clips(fold + 1):
            metric.add(clip, fold)
    return metric


def test_styleganv_s_convention(tmp_path: Path) -> None:
    torch.jit.script(StubScript()).save(str(tmp_path / "i3d_torchscript.pt"))
    metric = filled(ClipDistance(load_scripted_i3d(tmp_path)))
    assert metric.folds == pytest.approx([expected(0, 1.0, fold) for fold in range(4)], rel=1e-5)
    assert metric.value == pytest.approx(np.mean(metric.folds))
    assert metric.spread == pytest.approx(np.std(metric.folds))
    assert metric.spread > 0
    assert metric.name == "fvd-styleganv"
    assert metric.protocol.endswith(
        "6 real, 6 x 4 folds, covariance over n; 16 frames at stride 1, first 1 window(s) of a clip"
    )


def ported(tmp_path: Path) -> PortedI3D:
    return PortedI3D(StubPort(), FoundFile(tmp_path / "i3d_pretrained_400.pt", "ab" * 32))


def test_videogpt_s_convention(tmp_path: Path) -> None:
    """Bilinear enlarging changes the means of random frames a little; nothing else may."""
    flat = np.broadcast_to(clips(0).mean((2, 3), keepdims=True), (6, 17, 6, 7, 3)).astype(np.uint8)
    other = np.broadcast_to(clips(1).mean((2, 3), keepdims=True), (6, 17, 6, 7, 3)).astype(np.uint8)
    metric = ClipDistance(ported(tmp_path), num_folds=1)
    for real, made in zip(flat, other, strict=True):
        metric.add_real(real)
        metric.add(made)
    one, two = Gaussian(), Gaussian()
    one.add(features(flat) * 2 / 255 - 1)
    two.add(features(other) * 2 / 255 - 1)
    assert metric.value == pytest.approx(frechet_distance(one, two, ddof=1), rel=1e-4)
    assert "fvd-videogpt: i3d_pretrained_400.pt sha256:abababab" in metric.protocol
    assert "covariance over n - 1" in metric.protocol


def test_windows_must_fit_the_network(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="windows of 8 frames: fvd-videogpt expects 16 frames"):
        ClipDistance(ported(tmp_path), Windows(8))


def test_processes_can_be_merged(tmp_path: Path) -> None:
    torch.jit.script(StubScript()).save(str(tmp_path / "i3d_torchscript.pt"))
    embed = load_scripted_i3d(tmp_path)
    whole, one, two = (ClipDistance(embed, num_folds=1) for _ in range(3))
    for number, (real, made) in enumerate(zip(clips(0), clips(1), strict=True)):
        for metric in (whole, one if number < 2 else two):
            metric.add_real(real)
            metric.add(made)
    one.merge(two)
    assert one.value == pytest.approx(whole.value, rel=1e-9)
    with pytest.raises(InputError, match="expected one protocol"):
        one.merge(ClipDistance(embed, Windows(16, 2), num_folds=1))
