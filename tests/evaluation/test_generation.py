"""Samples against a reference: distances worked out by NumPy on known features, however the comparison is run."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from magvit2.data.items import find_items, first_of_each_group
from magvit2.errors import InputError
from magvit2.evaluation.generation import GenerationSetup, open_generation_panel
from magvit2.evaluation.parts import part_path
from magvit2.evaluation.running import run
from magvit2.evaluation.sides import Entry
from magvit2.evaluation.tally import Tally
from magvit2.metrics.fvd import Windows
from magvit2.store import read_tensors_and_metadata
from magvit2.video import read_clip, write_image
from tests.evaluation.generating import (
    Change,
    Colour,
    StubSetup,
    compared,
    matched,
    moving,
    noisy,
    save_clips,
    save_networks,
    values,
)
from tests.evaluation.making import clip_item

NUM_SAMPLES, NUM_REAL = 11, 14


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clips(tmp_path_factory.mktemp("real"), [moving(seed) for seed in range(NUM_REAL)])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples of several lengths, and four pictures among them."""
    lengths = [16, 17, 33, 20]
    folder = tmp_path_factory.mktemp("made")
    save_clips(folder, [noisy(moving(100 + n, lengths[n % 4]), 9, n) for n in range(NUM_SAMPLES)])
    return folder


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_networks(tmp_path_factory.mktemp("nets"))


def clips_of(folder: Path) -> list[np.ndarray]:
    return [read_clip(path)[0][:16] for path in sorted(folder.glob("*.mkv"))]


def by_numpy(one: np.ndarray, two: np.ndarray, ddof: int) -> float:
    """The Fréchet distance as it is defined, by the eigenvalues of the covariances' product."""
    means, covariances = zip(*((x.mean(0), np.cov(x.T, ddof=ddof)) for x in (one, two)), strict=True)
    roots = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).astype(complex)).real
    return float(((means[0] - means[1]) ** 2).sum() + sum(np.trace(c) for c in covariances) - 2 * roots.sum())


def features(embed: Change | Colour, clips: list[np.ndarray]) -> np.ndarray:
    stacks = clips if embed.num_frames == 1 else [np.stack(clips)]
    return np.concatenate([embed(stack).numpy() for stack in stacks])


def test_distances_by_numpy_of_all_samples_and_of_each_fold(made: Path, real: Path) -> None:
    scores, _ = compared(StubSetup(num_folds=2), made, real)
    samples, reference = clips_of(made), clips_of(real)
    change, colour = Change(), Colour()
    expected = by_numpy(features(change, samples), features(change, reference), 0)
    assert scores["clips/fd-change"].value == pytest.approx(expected, rel=1e-6)
    folds = [by_numpy(features(change, samples[n::2]), features(change, reference), 0) for n in range(2)]
    assert scores["clips/fd-change"].parts == pytest.approx(folds, rel=1e-6)
    found = values(scores)
    assert found["clips/fd-change_fold_mean"] == pytest.approx(np.mean(folds), rel=1e-6)
    assert found["clips/fd-change_fold_std"] == pytest.approx(np.std(folds), rel=1e-6)
    expected = by_numpy(features(colour, samples), features(colour, reference), 1)
    assert scores["clips/fd-colour"].value == pytest.approx(expected, rel=1e-6)
    assert set(found) == {"clips/fd-change", "clips/fd-change_fold_mean", "clips/fd-change_fold_std", "clips/fd-colour"}
    assert scores["clips/fd-change"].num_samples == NUM_SAMPLES
    assert scores["clips/fd-colour"].num_reference == 16 * NUM_REAL


def test_the_inception_score_is_of_the_samples_alone_clip_by_clip_in_splits(made: Path, real: Path, nets: Path) -> None:
    scores, _ = compared(StubSetup(nets=nets), made, real)
    logits = np.stack([clip.mean(axis=(1, 2)) / 10 for clip in clips_of(made)])  # [clip, T, class]
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)

    def score(part: np.ndarray) -> float:
        part = part.reshape(-1, 3)
        return math.exp((part * np.log(part / part.mean(0))).sum(1).mean())

    splits = [score(p[n::10]) for n in range(10)]
    found = values(scores)
    assert found["clips/is"] == pytest.approx(score(p), rel=1e-5)
    assert found["clips/is_split_mean"] == pytest.approx(np.mean(splits), rel=1e-5)
    assert found["clips/is_split_std"] == pytest.approx(np.std(splits), rel=1e-4)
    assert scores["clips/is"].num_samples == 16 * NUM_SAMPLES
    assert scores["clips/is"].num_reference is None


def test_a_set_is_at_no_distance_from_itself_and_noise_takes_it_away(real: Path, tmp_path: Path, nets: Path) -> None:
    setup = GenerationSetup(("fvd-styleganv",), nets)
    found = {0.0: values(compared(setup, real, real)[0])["clips/fvd-styleganv"]}
    for sigma in (5.0, 20.0, 60.0):
        samples = save_clips(tmp_path / str(sigma), [noisy(clip, sigma, n) for n, clip in enumerate(clips_of(real))])
        found[sigma] = values(compared(setup, samples, real)[0])["clips/fvd-styleganv"]
    assert found[0] == pytest.approx(0, abs=1e-6 * found[5])
    assert found[0] < found[5] < found[20] / 4 < found[60] / 8


def test_clips_and_images_are_kept_apart(made: Path, real: Path, tmp_path: Path) -> None:
    for name, source in (("a", made), ("b", real)):
        save_clips(tmp_path / name, clips_of(source))
        for number in range(5):
            write_image(tmp_path / name / f"photo{number}.png", moving(number + len(str(source)))[0])
    apart = values(compared(StubSetup(), made, real)[0])
    both = values(compared(StubSetup(), tmp_path / "a", tmp_path / "b")[0])
    assert both.pop("images/fd-colour") >= 0
    assert both == pytest.approx(apart, rel=1e-9)


@pytest.mark.parametrize(
    ("setup", "options"),
    [
        (StubSetup(together=8), {}),
        (StubSetup(batch_size=8), {}),
        (StubSetup(), {"num_workers": 2}),
        (StubSetup(together=3), {"num_workers": 3}),
    ],
    ids=["8 windows at once", "batch of 8", "2 workers", "3 workers, 3 windows at once"],
)
def test_neither_batches_nor_workers_change_a_figure(
    setup: StubSetup, options: dict[str, int], made: Path, real: Path, nets: Path
) -> None:
    with_nets = {"nets": nets, "num_windows": 2}
    alone, _ = compared(StubSetup(**with_nets), made, real)  # type: ignore[arg-type]
    shared = StubSetup(together=setup.together, batch_size=setup.batch_size, **with_nets)  # type: ignore[arg-type]
    found, _ = compared(shared, made, real, **options)
    assert list(found) == list(alone)
    assert values(found) == pytest.approx(values(alone), rel=1e-6, abs=1e-9)


def test_a_killed_comparison_goes_on_with_the_same_figures(made: Path, real: Path, nets: Path, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def stop(count: int) -> None:
        if count == 9:
            raise KilledError

    setup = StubSetup(nets=nets)
    expected = values(compared(setup, made, real)[0])
    with pytest.raises(KilledError):
        compared(setup, made, real, tmp_path / "out", progress=stop)
    assert len(Tally.load(part_path(tmp_path / "out" / "state", 0))[0].done) == 9
    seen: list[int] = []
    found, _ = compared(setup, made, real, tmp_path / "out", resume=True, progress=seen.append)
    assert values(found) == pytest.approx(expected, rel=1e-6)
    assert seen == list(range(9, NUM_SAMPLES + NUM_REAL + 1))  # nothing is measured twice
    with pytest.raises(InputError, match=r"folds was '4 of the sample clips.*now '2 of"):
        compared(StubSetup(nets=nets, num_folds=2), made, real, tmp_path / "out", resume=True)
    with pytest.raises(InputError, match="reference was"):
        compared(setup, made, made, tmp_path / "out", resume=True)


def levels_seen(setup: StubSetup, folder: Path) -> list[list[int]]:
    """The grey levels of the frames in the windows of the first clip, which tell the frames' numbers."""
    entry = Entry(find_items(folder)[0], "samples", 0)
    return [window[:, 0, 0, 0].tolist() for window in setup.open().read(entry)]


def test_a_clip_counts_with_windows_of_16_frames(tmp_path: Path) -> None:
    numbered = np.arange(70, dtype=np.uint8)[:, None, None, None].repeat(16, 1).repeat(16, 2).repeat(3, 3)
    save_clips(tmp_path, [numbered, numbered])
    assert levels_seen(StubSetup(), tmp_path) == [list(range(16))]
    assert levels_seen(StubSetup(stride=3), tmp_path) == [list(range(0, 48, 3))]
    every = [list(range(start, start + 16)) for start in (0, 16, 32, 48)]
    assert levels_seen(StubSetup(num_windows=None), tmp_path) == every
    assert levels_seen(StubSetup(num_windows=3), tmp_path) == every[:3]
    assert levels_seen(StubSetup(num_windows=9, stride=2), tmp_path) == [list(range(0, 32, 2)), list(range(32, 64, 2))]
    assert levels_seen(StubSetup(stride=5), tmp_path) == []


def test_all_windows_of_a_clip_lie_in_its_fold(tmp_path: Path, real: Path) -> None:
    samples = save_clips(tmp_path, [moving(n, 16 * (n + 2)) for n in range(4)])
    scores, _ = compared(StubSetup(num_windows=None, num_folds=2), samples, real)
    assert scores["clips/fd-change"].part_sizes == (2 + 4, 3 + 5)


def test_windows_are_the_same_however_they_are_cut() -> None:
    frames = np.arange(90, dtype=np.uint8).reshape(30, 1, 1, 3)
    for windows in (Windows(4), Windows(4, 3, 2), Windows(5, 2, None), Windows(30, 1, None), Windows(1, 29, None)):
        assert np.array_equal(np.stack(list(windows.stream(frames))), windows.cut(frames))
    assert list(Windows(16, 2).stream(frames)) == []
    assert (Windows(16, 2).span, Windows(16, 2, 3).reach, Windows(16, 1, None).reach) == (31, 95, None)


def test_short_clips_are_left_out_and_counted(tmp_path: Path, real: Path) -> None:
    clips = [moving(n, 15 if n == 2 else 16) for n in range(9)]
    scores, tally = compared(StubSetup(num_folds=1), save_clips(tmp_path, clips), real)
    expected = by_numpy(*(features(Change(), side) for side in (clips[:2] + clips[3:], clips_of(real))), 0)  # type: ignore[misc]
    assert values(scores)["clips/fd-change"] == pytest.approx(expected, rel=1e-6)
    assert [record.index for record in tally.records if not record.values["windows"]] == [2]
    assert scores["clips/fd-colour"].num_samples == 8 * 16


def test_folds_that_are_too_small_are_not_measured_and_say_so(tmp_path: Path, real: Path) -> None:
    samples = save_clips(tmp_path, [moving(n) for n in range(7)])
    scores, _ = compared(StubSetup(), samples, real)
    score = scores["clips/fd-change"]
    assert score.value > 0
    assert math.isnan(score.mean) and math.isnan(score.std)
    assert [math.isnan(value) for value in score.parts] == [False, False, False, True]
    (why,) = score.shortages.items()
    text = "4 folds hold 1 to 2 samples; each expects 2 or more (--folds 1 takes all together)"
    assert why == ("clips/fd-change_fold_mean", text)
    alone, _ = compared(StubSetup(num_folds=1), samples, real)
    assert "clips/fd-change_fold_mean" not in values(alone)
    assert alone["clips/fd-change"].value == pytest.approx(score.value)


def test_too_few_samples_leave_splits_of_the_inception_score_empty(tmp_path: Path, real: Path, nets: Path) -> None:
    samples = save_clips(tmp_path, [moving(n) for n in range(4)])
    score = compared(StubSetup(nets=nets), samples, real)[0]["clips/is"]
    assert score.value >= 1 and math.isnan(score.mean)
    assert score.shortages == {"clips/is_split_mean": "10 splits hold 0 to 16 samples; each expects one or more"}


def test_frames_of_other_sizes_are_refused_unless_all_are_brought_to_one(tmp_path: Path, real: Path) -> None:
    small = save_clips(tmp_path / "small", [moving(n, side=8) for n in range(3)])
    with pytest.raises(InputError, match=rf"are 8 x 8 in {small} and 16 x 16 in {real}; give --size N to bring all"):
        matched(small, real)
    assert matched(small, real, size=12).sizes == {"samples": "8 x 8", "reference": "16 x 16"}
    (window,) = StubSetup(size=12).open().read(matched(small, real, size=12).entries[0])
    assert window.shape == (16, 12, 12, 3)
    clip_item(small, "wide", np.zeros((16, 8, 24, 3), np.uint8))
    assert matched(small, small).sizes["samples"] == "8 x 8, 24 x 8"  # the same sizes on both sides


def test_sides_without_a_common_kind_are_refused(tmp_path: Path, real: Path) -> None:
    for number in range(3):
        write_image(tmp_path / f"{number}.png", moving(number)[0])
    held = f"{tmp_path} holds 3 images, {real} holds {NUM_REAL} clips"
    with pytest.raises(InputError, match=f"{held}; expected clips on both sides, or images on both"):
        matched(tmp_path, real)
    save_clips(tmp_path, [moving(n) for n in range(2)])
    match = matched(tmp_path, real)
    assert {entry.kind for entry in match.entries} == {"clips"}
    assert match.notes == (f"{tmp_path}: its images are left out, the other side has none",)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([16], r"holds 1 clip; a Fréchet distance expects 2 or more on each side"),
        ([15, 3, 15], r"holds 3 clips, 0 of them of 16 frames or more; a Fréchet distance expects 2"),
        ([15, 16], r"holds 2 clips, 1 of them of 16 frames or more"),
    ],
)
def test_too_few_clips_are_refused_on_either_side(tmp_path: Path, real: Path, lengths: list[int], message: str) -> None:
    few = save_clips(tmp_path, [moving(n, length) for n, length in enumerate(lengths)])
    for sides in ((few, real), (real, few)):
        with pytest.raises(InputError, match=f"{few}: {message}"):
            matched(*sides)


def test_what_is_kept_does_not_grow_with_the_samples_but_for_a_line_each(tmp_path: Path, nets: Path) -> None:
    sizes = {}
    for count in (12, 48):
        folder = save_clips(tmp_path / str(count), [moving(n) for n in range(count)])
        compared(StubSetup(nets=nets), folder, folder, tmp_path / f"out{count}")
        tensors, _ = read_tensors_and_metadata(part_path(tmp_path / f"out{count}" / "state", 0))
        records = tensors.pop("records")
        sizes[count] = {name: tensor.numel() for name, tensor in tensors.items()}
        assert records.numel() < 600 * 2 * count
    assert sizes[12] == sizes[48]


def test_only_so_many_windows_as_go_through_a_network_are_in_memory(tmp_path: Path) -> None:
    save_clips(tmp_path, [moving(n, 64) for n in range(3)])
    bench = StubSetup(num_windows=None).open()
    entries = matched(tmp_path, tmp_path).entries
    stacks: list[int] = []

    class Watching(Colour):
        def __call__(self, items: np.ndarray) -> torch.Tensor:
            stacks.append(len(items))
            return super().__call__(items)

    object.__setattr__(bench.panel, "distances", (Watching(),))
    list(bench.measure(list(enumerate(entries)), Tally()))
    assert stacks == [16] * (2 * 3 * 4)


def test_features_that_are_not_finite_are_refused_with_the_item_s_name(tmp_path: Path) -> None:
    save_clips(tmp_path, [moving(n) for n in range(2)])
    bench = StubSetup().open()

    class Broken(Colour):
        def __call__(self, items: np.ndarray) -> torch.Tensor:
            return super().__call__(items) * math.nan

    object.__setattr__(bench.panel, "distances", (Broken(),))
    with pytest.raises(InputError, match=r"000\.mkv: features hold NaN"):
        run(StubSetup(), bench, matched(tmp_path, tmp_path).entries, {})


def test_a_metric_without_its_network_is_missing_and_says_what_it_needs(tmp_path: Path) -> None:
    files = {
        "fd-mbv2-t": "mobilenetv2_features_onnxzoo.npz",
        "fvd-styleganv": "i3d_torchscript.pt",
        "fvd-videogpt": "i3d_pretrained_400.pt",
        "fd-mbv2": "mobilenetv2_features_onnxzoo.npz",
        "fid": "inception-2015-12-05.pt",
        "is": "inception-2015-12-05.pt",
    }
    panel = open_generation_panel((), tmp_path)
    assert panel.not_measured == {name: f"needs {file} in {tmp_path}" for name, file in files.items()}
    assert (panel.distances, panel.classes, panel.protocols) == ((), None, {})
    with pytest.raises(InputError, match="metric 'fvd' is not known; expected some of fd-mbv2-t, fvd-styleganv"):
        open_generation_panel(("fvd",), tmp_path)


def test_protocols_name_the_network_the_divisor_and_what_is_seen(nets: Path) -> None:
    panel = open_generation_panel(("is", "fid", "fvd-styleganv"), nets)
    assert list(panel.protocols) == ["fvd-styleganv", "fid", "is"]
    assert panel.protocols["fvd-styleganv"].endswith("; windows; covariance over n")
    assert panel.protocols["fid"].endswith("; every frame; covariance over n - 1")
    assert "sha256:" in panel.protocols["is"] and "samples alone" in panel.protocols["is"]


@pytest.mark.parametrize("name", ["size", "folds", "batch_size"])
def test_a_bench_refuses_counts_below_1(name: str) -> None:
    argument = {"size": "size", "folds": "num_folds", "batch_size": "together"}[name]
    with pytest.raises(InputError, match=f"{name} 0: expected 1 or more"):
        StubSetup(**{argument: 0}).open()  # type: ignore[arg-type]


@pytest.mark.data
def test_noise_takes_real_clips_away_from_themselves_the_more_the_stronger(data_dir: Path, tmp_path: Path) -> None:
    items = [item for item in first_of_each_group(find_items(data_dir, "val"), 6) if item.kind == "video"]
    clips = [read_clip(item.path, num_frames=16)[0][:, :112, :112] for item in items]
    real = save_clips(tmp_path / "real", clips)
    setup = GenerationSetup(("fd-mbv2-t",), data_dir / "nets")
    found = []
    for sigma in (0, 2, 8, 32):
        samples = save_clips(tmp_path / str(sigma), [noisy(clip, sigma, n) for n, clip in enumerate(clips)])
        found.append(values(compared(setup, samples, real)[0])["clips/fd-mbv2-t"])
    assert found[0] < 1e-6 * found[1]
    assert found == sorted(found)
    assert found[1] < found[3] / 2
    print("fd-mbv2-t by noise of 0, 2, 8 and 32 grey levels:", found)
