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


CONVENTIONS = ("fvd-styleganv", "fvd-videogpt")


def distance_of(name: str, folder: Path) -> ClipDistance:
    if name == "fvd-videogpt":
        return ClipDistance(ported(folder), num_folds=1)
    torch.jit.script(StubScript()).save(str(folder / "i3d_torchscript.pt"))
    return ClipDistance(load_scripted_i3d(folder), num_folds=1)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_clips_have_no_distance_to_themselves_and_more_with_more_noise(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    real = rng.integers(60, 190, (6, 1, 1, 1, 3)) + rng.integers(0, 20, (6, 16, 6, 7, 3))
    values = []
    for amount in (0, 4, 12, 40):
        metric = distance_of(name, tmp_path)
        noise = np.random.default_rng(1).normal(0, amount, real.shape)
        for clip, other in zip(real, np.clip(real + noise, 0, 255), strict=True):
            metric.add_real(clip.astype(np.uint8))
            metric.add(other.astype(np.uint8))
        values.append(metric.value)
    assert values == sorted(values)
    assert 0 <= values[0] < 1e-6 * values[1]


@pytest.mark.parametrize("name", CONVENTIONS)
def test_one_clip_or_none_on_a_side_has_no_distance(tmp_path: Path, name: str) -> None:
    for count in (0, 1):
        metric = distance_of(name, tmp_path)
        for clip in clips(0):
            metric.add_real(clip)
        for clip in clips(1)[:count]:
            metric.add(clip)
        with pytest.raises(InputError, match=rf"^{count} sample\(s\): a covariance expects 2 or more$"):
            _ = metric.value


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("name", CONVENTIONS)
def test_what_is_no_clip_of_bytes_is_refused(tmp_path: Path, name: str) -> None:
    metric = distance_of(name, tmp_path)
    for bad in (np.full((16, 6, 7, 3), np.nan), np.zeros((16, 6, 7, 1), np.uint8), np.zeros((16, 6, 7), np.uint8)):
        with pytest.raises(InputError, match=r"^frames \(1, 16, 6, 7.*: expected uint8 \[n, T, H, W, 3\]"):
            metric.add(bad)
