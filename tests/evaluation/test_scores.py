"""The panel: what is measured, and what is not and why; nothing takes another's place."""

from pathlib import Path

import numpy as np
import pytest
import torch

from magvit2.errors import FormatError, InputError
from magvit2.evaluation.scores import METRICS, open_panel
from magvit2.metrics.motion import fd_mbv2, fd_mbv2_t
from tests.video.making import scene

NETWORKS = {
    "psq": "squeezenet1_1_onnxzoo.npz",
    "lpips-alex": "alexnet-owt",
    "lpips-vgg": "vgg16-397923af.pth",
    "lpips-squeeze": "squeezenet1_1-b8a52dc0.pth",
    "fd-mbv2": "mobilenetv2_features_onnxzoo.npz",
    "fd-mbv2-t": "mobilenetv2_features_onnxzoo.npz",
    "fid": "inception-2015-12-05.pt",
    "fvd-styleganv": "i3d_torchscript.pt",
    "fvd-videogpt": "i3d_pretrained_400.pt",
}


@pytest.mark.parametrize("has_folder", [False, True])
def test_a_metric_without_its_network_is_missing_and_says_what_it_needs(tmp_path: Path, has_folder: bool) -> None:
    panel = open_panel((), tmp_path if has_folder else None)
    assert set(panel.not_measured) == set(NETWORKS)
    for name, file in NETWORKS.items():
        assert panel.not_measured[name].startswith(f"needs {file}")
        assert (str(tmp_path) if has_folder else "(give one: --nets DIR)") in panel.not_measured[name]
    assert [metric.name for metric in panel.pairs] == ["psnr", "ssim", "ms_ssim", "vmaf"]
    assert panel.sets == ()
    assert set(panel.protocols) | set(panel.not_measured) == set(METRICS)


def test_metrics_are_chosen_by_name_and_psnr_is_always_there() -> None:
    assert [metric.name for metric in open_panel(("ssim",)).pairs] == ["psnr", "ssim"]
    with pytest.raises(InputError, match="metric 'lpips' is not known; expected some of psnr, ssim, ms_ssim, psq"):
        open_panel(("ssim", "lpips"))


def test_a_wrong_network_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vgg16-397923af.pth").write_bytes(b"something else")
    with pytest.raises(FormatError, match=r"vgg16-397923af\.pth: SHA-256 is .*expected 397923af"):
        open_panel(("lpips-vgg",), tmp_path)


def test_vmaf_is_of_clips_of_32_pixels_or_more() -> None:
    (_, metric) = open_panel(("vmaf",)).pairs
    clip = scene(3, 64, 64)
    assert set(metric.measure(clip, clip)) == {"vmaf", "vmaf_neg"}
    for other in (clip[:1], clip[:, :31]):
        assert metric.measure(other, other) == {}


def test_the_substitutes_are_measured_where_their_files_are(data_dir: Path) -> None:
    panel = open_panel(("psq", "fd-mbv2", "fd-mbv2-t"), data_dir / "nets")
    clip = scene(17, 32, 32)
    worse = np.clip(clip.astype(int) + 60, 0, 255).astype(np.uint8)
    (_, psq) = panel.pairs
    assert psq.measure(clip, clip) == {"psq": 0.0} != psq.measure(clip, worse)
    assert psq.measure(clip[:, :10], clip[:, :10]) == {}  # too small for the network
    frames, clips = panel.sets
    features = frames.embed(clip), clips.embed(clip)
    assert [None if value is None else tuple(value.shape) for value in features] == [(17, 1280), (1, 128)]
    assert clips.embed(clip[:15]) is None
    assert all("sha256:" in metric.protocol for metric in (psq, frames, clips))
    assert panel.not_measured == {}


def test_features_are_those_that_the_metrics_of_the_package_compare(data_dir: Path) -> None:
    nets = data_dir / "nets"
    frames, clips = open_panel(("fd-mbv2", "fd-mbv2-t"), nets).sets
    assert (frames.ddof, clips.ddof) == (1, 1)
    assert fd_mbv2(nets).name == frames.name == "fd-mbv2"
    assert fd_mbv2_t(nets).name == clips.name == "fd-mbv2-t"
    clip = scene(16, 32, 32)
    one, two = frames.embed(clip), frames.embed(clip[:3])
    assert one is not None and two is not None
    assert torch.allclose(one[:3], two, rtol=1e-4, atol=1e-5)
