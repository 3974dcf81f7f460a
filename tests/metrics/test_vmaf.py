"""VMAF: untouched clips, coarser codecs, another call of FFmpeg, the model's own regression, clips that have none."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magvit2.data.frames import read_item
from magvit2.data.items import find_items
from magvit2.errors import InputError, MediaError, MissingDependencyError
from magvit2.evaluation.codecs import parse_baseline
from magvit2.metrics import vmaf as vmaf_module
from magvit2.metrics.vmaf import vmaf
from magvit2.video.ffmpeg import ffmpeg_path, run_ffmpeg
from magvit2.video.yuv import to_yuv420
from tests.video.making import scene


def moving(num_frames: int = 6, height: int = 64, width: int = 96) -> np.ndarray:
    """A grained texture that slides by 3 pixels a frame."""
    rng = np.random.default_rng(0)
    texture = scene(1, height, width + 3 * num_frames)[0] + rng.normal(0, 12, (height, width + 3 * num_frames, 3))
    texture = np.clip(texture, 0, 255).astype(np.uint8)
    return np.stack([texture[:, 3 * n : 3 * n + width] for n in range(num_frames)])


def coded(frames: np.ndarray, spec: str) -> np.ndarray:
    return parse_baseline(spec).code(frames, Fraction(25)).frames


def test_an_untouched_clip_has_nearly_all_points_and_coarser_settings_have_fewer() -> None:
    frames = moving()
    untouched = vmaf(frames, frames)
    assert 95 < untouched.vmaf <= 100 and 95 < untouched.vmaf_neg <= 100
    scores = [untouched] + [vmaf(frames, coded(frames, f"x264@crf{crf}")) for crf in (15, 25, 35, 45)]
    for values in ([score.vmaf for score in scores], [score.vmaf_neg for score in scores]):
        assert values == sorted(values, reverse=True)
        assert values[0] - values[-1] > 30


@pytest.mark.data
def test_a_real_clip_against_a_direct_call_of_ffmpeg(data_dir: Path, tmp_path: Path) -> None:
    """Scores of x264's file and a lossless one, which FFmpeg's own command line decodes and compares."""
    items = [item for item in find_items(data_dir, "val") if item.group == "cctv_144"]
    frames = read_item(items[0], 0, 9)
    decoded = coded(frames, "x264@crf32")
    for name, one in (("true", frames), ("coded", decoded)):
        clip = to_yuv420(one)
        height, width = clip.coded_size
        raw = f"-f rawvideo -pix_fmt yuv420p -s {width}x{height} -r 25 -i pipe: -c:v ffv1".split()
        run_ffmpeg([*raw, str(tmp_path / f"{name}.mkv")], clip.planes(), "FFV1")
    for model, ours in (
        ("vmaf_v0.6.1", vmaf(frames, decoded).vmaf),
        ("vmaf_v0.6.1neg", vmaf(frames, decoded).vmaf_neg),
    ):
        log = tmp_path / f"{model}.json"
        graph = (
            f"[0:v]setpts=PTS-STARTPTS[a];[1:v]setpts=PTS-STARTPTS[b];[a][b]libvmaf=model=version={model}:log_fmt=json"
        )
        command = [ffmpeg_path(), "-i", tmp_path / "coded.mkv", "-i", tmp_path / "true.mkv", "-lavfi"]
        subprocess.run([*command, f"{graph}:log_path={log}", "-f", "null", "-"], check=True, capture_output=True)
        frames_log = json.loads(log.read_text())["frames"]
        assert len(frames_log) == 9
        direct = np.mean([frame["metrics"]["vmaf"] for frame in frames_log])
        assert 20 < ours < 95
        assert ours == pytest.approx(direct, abs=1e-4)


def svm_scores(model: dict[str, Any], features: np.ndarray) -> np.ndarray:
    """VMAF's support-vector regression (Li et al. 2016) on [frames, 6] features, by the file that libvmaf has in it."""
    _, *slopes = model["slopes"]
    _, *intercepts = model["intercepts"]
    x = features * slopes + intercepts
    head, _, body = model["model"].partition("SV\n")
    settings = dict(line.split(" ", 1) for line in head.splitlines() if " " in line)
    weights, vectors = [], np.zeros((int(settings["total_sv"]), x.shape[1]))
    for vector, line in zip(vectors, body.splitlines(), strict=True):
        weight, *entries = line.split()
        weights.append(float(weight))
        for entry in entries:  # those that are not 0
            index, _, value = entry.partition(":")
            vector[int(index) - 1] = float(value)
    kernel = np.exp(-float(settings["gamma"]) * ((x[:, None] - vectors) ** 2).sum(axis=2))
    scores = (kernel @ np.array(weights) - float(settings["rho"]) - model["intercepts"][0]) / model["slopes"][0]
    return np.clip(scores, *model["score_clip"])


def logged_frames(frames: np.ndarray, decoded: np.ndarray, folder: Path, name: str) -> list[dict[str, float]]:
    """What libvmaf says of every frame, its features among it, by a call of FFmpeg of the test's own."""
    inputs = []
    for stem, clip in (("coded", to_yuv420(decoded)), ("true", to_yuv420(frames))):
        (folder / stem).write_bytes(clip.planes())
        height, width = clip.coded_size
        inputs += f"-f rawvideo -pix_fmt yuv420p -s {width}x{height} -r 25 -i {folder / stem}".split()
    log = folder / "log.json"
    graph = f"[0:v][1:v]libvmaf=model=version={name}:log_fmt=json:log_path={log}"
    subprocess.run([ffmpeg_path(), *inputs, "-lavfi", graph, "-f", "null", "-"], check=True, capture_output=True)
    return [frame["metrics"] for frame in json.loads(log.read_text())["frames"]]


@pytest.mark.parametrize(("name", "ending"), [("vmaf_v0.6.1", ""), ("vmaf_v0.6.1neg", "_egl_1")])
def test_scores_are_the_published_regression_on_libvmaf_s_features(
    data_dir: Path, tmp_path: Path, name: str, ending: str
) -> None:
    """The support vectors of the model's file, evaluated here; features are logged with six decimals."""
    model = json.loads((data_dir / "nets" / f"{name}.json").read_text())["model_dict"]
    frames = moving()
    decoded = coded(frames, "x264@crf35")
    logged = logged_frames(frames, decoded, tmp_path, name)
    columns = ["integer_adm2" + ending, "integer_motion2", *(f"integer_vif_scale{n}{ending}" for n in range(4))]
    expected = svm_scores(model, np.array([[frame[column] for column in columns] for frame in logged]))
    assert expected == pytest.approx([frame["vmaf"] for frame in logged], abs=1e-3)
    found = vmaf(frames, decoded)
    assert (found.vmaf_neg if ending else found.vmaf) == pytest.approx(expected.mean(), abs=1e-3)


def test_models_are_two_and_neg_gives_nothing_for_sharpening() -> None:
    frames = moving()
    mean = frames.mean(axis=(1, 2), keepdims=True)
    sharper = np.clip(mean + 1.3 * (frames - mean), 0, 255).astype(np.uint8)
    scores = vmaf(coded(frames, "x264@crf35"), coded(sharper, "x264@crf35"))
    assert scores.vmaf > scores.vmaf_neg + 1


@pytest.mark.parametrize("size", [(33, 47), (32, 32)])
def test_odd_and_smallest_sizes_have_a_score(size: tuple[int, int]) -> None:
    frames = moving(3, *size)
    assert 95 < vmaf(frames, frames).vmaf <= 100


def test_one_frame_has_a_score() -> None:
    assert 90 < vmaf(moving(1), moving(1)).vmaf <= 100


@pytest.mark.parametrize("size", [(31, 64), (64, 16)])
def test_small_frames_are_refused(size: tuple[int, int]) -> None:
    frames = moving(2, *size)
    with pytest.raises(InputError, match=rf"VMAF needs sides of 32 pixels or more; got {size[0]} x {size[1]}"):
        vmaf(frames, frames)


@pytest.mark.usefixtures("unchecked_shapes")
def test_what_are_no_two_clips_of_one_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(3, 64, 96, 3\) and \(2, 64, 96, 3\): expected the same size"):
        vmaf(moving(3), moving(2))
    with pytest.raises(InputError, match=r"^frames \(2, 64, 96, 3\) of float64: expected uint8 \[n, H, W, 3\]"):
        vmaf(moving(2), np.full((2, 64, 96, 3), np.nan))
    with pytest.raises(InputError, match=r"^a clip without frames: VMAF expects one or more$"):
        vmaf(moving(2)[:0], moving(2)[:0])


def test_without_imageio_ffmpeg_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'magvit2\[codecs\]'"):
        vmaf(moving(2), moving(2))


def test_an_ffmpeg_without_the_model_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vmaf_module, "_MODELS", "version=vmaf_v9")
    with pytest.raises(MediaError, match=r"^VMAF failed \(.+\)$"):
        vmaf(moving(2), moving(2))
