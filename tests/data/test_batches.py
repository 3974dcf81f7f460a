"""The batch of a step is a function of the seed and the step, whoever asks; nothing but `train` is ever in it."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from magvit2.data.batches import BatchSpec, TrainingBatches
from magvit2.data.frames import random_square
from magvit2.data.items import MediaItem, find_items
from magvit2.errors import ConfigError, InputError
from tests.data.making import make_source

VIDEO = BatchSpec("video", batch_size=2, num_frames=5, size=8)
IMAGE = BatchSpec("image", batch_size=3, num_frames=1, size=8)
MOTION = BatchSpec("motion", batch_size=1, num_frames=5, size=8)
MIXTURE = (VIDEO, IMAGE, MOTION)


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[MediaItem]:
    """The train items of a source with videos, strips, images and tar files."""
    return find_items(make_source(tmp_path_factory.mktemp("source")))


def same(a: Any, b: Any) -> bool:
    return a.kind == b.kind and torch.equal(a.clips_u8, b.clips_u8)


def test_a_batch_is_a_function_of_seed_and_step(items: list[MediaItem]) -> None:
    ours, again = (TrainingBatches(items, MIXTURE, 30, seed=7) for _ in range(2))
    backwards = {step: again[step] for step in reversed(range(30))}
    assert all(same(ours[step], backwards[step]) for step in range(30))
    other = TrainingBatches(items, MIXTURE, 30, seed=8)
    assert not all(same(ours[step], other[step]) for step in range(30))
    assert not all(same(ours[step + 1], other[step]) for step in range(29))  # nor is it the same run a step later
    assert len({ours[step].clips_u8.numpy().tobytes() for step in range(30)}) > 10


def test_workers_give_the_batches_that_the_main_process_gives(items: list[MediaItem]) -> None:
    batches = TrainingBatches(items, MIXTURE, 8, seed=7)
    torch.manual_seed(0)
    given = list(DataLoader(batches, batch_size=None, num_workers=2))
    assert len(given) == 8
    assert all(same(batch, batches[step]) for step, batch in enumerate(given))


def test_batches_have_the_shape_of_their_kind_and_all_kinds_come(items: list[MediaItem]) -> None:
    shapes = {"video": (2, 3, 5, 8, 8), "image": (3, 3, 1, 8, 8), "motion": (1, 3, 5, 8, 8)}
    batches = list(TrainingBatches(items, MIXTURE, 30, seed=0))
    assert len(batches) == 30
    assert all(batch.clips_u8.shape == shapes[batch.kind] for batch in batches)
    assert {batch.kind for batch in batches} == set(shapes)


def test_training_never_sees_rows_of_other_splits(items: list[MediaItem]) -> None:
    seen = set()
    for batch in TrainingBatches(items, MIXTURE, 60, seed=1):
        seen.update(batch.clips_u8[:, 0, 0, 0, 0].tolist())
    assert max(seen) < 100  # levels from 100 are val and test
    assert {30, 60, 61} < seen and len(seen & set(range(10, 16))) and len(seen & set(range(40, 45)))


def test_weights_set_how_often_a_kind_comes(items: list[MediaItem]) -> None:
    specs = (BatchSpec("image", 1, 1, 4, weight=3), BatchSpec("video", 1, 1, 4, weight=1))
    kinds = [batch.kind for batch in TrainingBatches(items, specs, 200, seed=0)]
    assert 125 < kinds.count("image") < 175


def test_groups_are_equally_likely_whatever_their_size(items: list[MediaItem]) -> None:
    many = [item for item in items if item.group == "photos"] * 50 + [i for i in items if i.group == "tars"]
    levels = [
        int(batch.clips_u8.flatten()[0]) for batch in TrainingBatches(many, (BatchSpec("image", 1, 1, 4),), 100, seed=0)
    ]
    assert 35 < levels.count(30) < 65


def test_a_spec_can_name_the_groups_it_draws_from(items: list[MediaItem]) -> None:
    spec = BatchSpec("video", 1, 1, 4, groups=("strips",))
    levels = {int(batch.clips_u8.flatten()[0]) for batch in TrainingBatches(items, (spec,), 20, seed=0)}
    assert levels <= set(range(40, 45))


def test_a_source_of_videos_gives_images_from_their_frames(items: list[MediaItem]) -> None:
    videos = [item for item in items if item.kind == "video"]
    batch = TrainingBatches(videos, (IMAGE,), 1, seed=0)[0]
    assert batch.clips_u8.shape == (3, 3, 1, 8, 8)
    assert set(batch.clips_u8.flatten().tolist()) <= set(range(10, 16))


@pytest.mark.parametrize(
    ("kinds", "spec", "message"),
    [
        (["image"], VIDEO, "holds no videos, which a batch of kind 'video' needs"),
        (["video", "strip"], MOTION, "holds no images, which a batch of kind 'motion' needs"),
        (["video"], BatchSpec("video", 1, 5, 8, groups=("moon",)), "holds no videos in moon"),
    ],
)
def test_a_source_without_what_a_batch_needs_is_one_line(
    items: list[MediaItem], kinds: list[str], spec: BatchSpec, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        TrainingBatches([item for item in items if item.kind in kinds], (spec,), 10, seed=0)


@pytest.mark.parametrize("changes", [{"batch_size": 0}, {"num_frames": 0}, {"size": 0}, {"weight": 0.0}])
def test_an_impossible_batch_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        BatchSpec(**{"kind": "video", "batch_size": 1, "num_frames": 5, "size": 8, **changes})


def test_a_batch_of_images_has_one_frame() -> None:
    with pytest.raises(ConfigError, match="num_frames = 1"):
        BatchSpec("image", 1, 5, 8)


def test_a_run_has_only_its_own_steps(items: list[MediaItem]) -> None:
    batches = TrainingBatches(items, (IMAGE,), 3, seed=0)
    for step in (-1, 3):
        with pytest.raises(IndexError, match="steps 0 to 2"):
            batches[step]


@pytest.mark.data
def test_real_training_data_give_batches_of_every_kind(data_dir: Path) -> None:
    specs = (BatchSpec("video", 1, 5, 32), BatchSpec("image", 2, 1, 32), BatchSpec("motion", 1, 5, 32))
    batches = list(TrainingBatches(find_items(data_dir), specs, 6, seed=0))
    assert all(np.unique(batch.clips_u8.numpy()).size > 16 for batch in batches)


def test_zoom_cuts_smaller_squares_and_scales_them_up() -> None:
    fine = np.indices((64, 64)).sum(0) % 2 * 255  # a chessboard of pixels: any magnification blurs it
    frames = np.repeat(fine[None, :, :, None], 3, axis=3).astype(np.uint8)
    rng = np.random.default_rng(0)
    plain = [random_square(frames, 16, rng) for _ in range(40)]
    zoomed = [random_square(frames, 16, rng, zoom=2.0) for _ in range(40)]
    assert all(square.shape == (1, 16, 16, 3) for square in plain + zoomed)

    def is_sharp(square: np.ndarray) -> bool:
        return set(np.unique(square)) == {0, 255}

    assert 10 < sum(map(is_sharp, plain)) < 30  # half of them, at their own scale
    assert sum(map(is_sharp, zoomed)) < 5
    smooth = [square for square in zoomed if not is_sharp(square) and np.ptp(square) > 128]
    assert smooth  # magnified, where the squares that are scaled down turn to grey


def test_exposure_is_a_power_of_each_clip_within_its_bounds(items: list[MediaItem]) -> None:
    changed = dataclasses.replace(VIDEO, exposure=1.0)
    for step in range(5):
        before, after = (TrainingBatches(items, (spec,), 9, seed=1)[step].clips_u8 for spec in (VIDEO, changed))
        powers = []
        x, y = before[0].double().div(255).flatten(), after[0].double().div(255).flatten()
        usable = (x > 0.2) & (x < 0.8) & (y > 0.1) & (y < 0.95)
        if usable.any():
            powers = (y[usable].log() / x[usable].log()).tolist()
            assert np.ptp(powers) < 0.15 and 0.45 < np.median(powers) < 2.1
        assert torch.equal(before == 0, after == 0) or before.min() > 0


def test_impossible_magnification_and_exposure_are_refused() -> None:
    with pytest.raises(ConfigError, match="zoom of 1 or more"):
        dataclasses.replace(VIDEO, zoom=0.5)
    with pytest.raises(ConfigError, match="exposure"):
        dataclasses.replace(VIDEO, exposure=-1.0)
