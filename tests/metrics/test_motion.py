"""What sees motion: shuffled, frozen and reversed clips, by hand and on real ones; and what does not."""

from pathlib import Path

import numpy as np
import pytest
import torch

from magvit2.data.frames import read_item
from magvit2.data.items import find_items
from magvit2.errors import InputError
from magvit2.features import MissingNetworkError, load_mobilenet_embedding
from magvit2.features.files import find_network
from magvit2.features.mobilenet import MOBILENET_FILE, load_mobilenet
from magvit2.metrics.frechet import Gaussian, frechet_distance
from magvit2.metrics.fvd import Windows
from magvit2.metrics.motion import MotionEmbedding, fd_mbv2, fd_mbv2_t, motion_statistics, project

NUM_FRAMES = 16


def distance(one: torch.Tensor, two: torch.Tensor) -> float:
    first, second = Gaussian(), Gaussian()
    first.add(one)
    second.add(two)
    return frechet_distance(first, second)


def test_statistics_by_hand() -> None:
    values = motion_statistics(torch.tensor([[[0.0], [1.0], [1.0], [5.0]]]).double())[0].tolist()
    assert values == pytest.approx([1.75 / 4, 3.6875**0.5, 5 / 3, 4 * (-1 * 1 + 0 * 0 + 1 * 4) / 3])


def test_a_clip_s_numbers_by_numpy(data_dir: Path) -> None:
    """From the network's features on: the projection and the four statistics of each of 32 of them, in this order."""
    network, file = load_mobilenet(data_dir / "nets")
    embed = MotionEmbedding(network, file, 5)
    clips = np.random.default_rng(0).integers(0, 256, (2, 5, 40, 48, 3), dtype=np.uint8)
    matrix = np.random.RandomState(0).standard_normal((1280, 32)) / np.sqrt(32)
    for clip, found in zip(clips, embed(clips).numpy(), strict=True):
        x = embed._embed_frames(clip).numpy().astype(np.float64) @ matrix
        speed = np.abs(np.diff(x, axis=0))
        trend = (speed * np.array([-1, -1 / 3, 1 / 3, 1])[:, None]).mean(0)
        expected = np.concatenate([x.mean(0) / 4, x.std(0), speed.mean(0), 4 * trend])
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_each_statistic_sees_its_own() -> None:
    x = torch.randn(5, NUM_FRAMES, 3).double().cumsum(1)
    mean, std, speed, trend = motion_statistics(x).split(3, dim=1)
    shuffled = motion_statistics(x[:, torch.randperm(NUM_FRAMES)]).split(3, dim=1)
    reversed_ = motion_statistics(x.flip(1)).split(3, dim=1)
    frozen = motion_statistics(x[:, :1].expand_as(x)).split(3, dim=1)
    assert torch.allclose(shuffled[0], mean) and torch.allclose(shuffled[1], std)
    assert (shuffled[2] > speed).all()
    assert all(torch.allclose(a, b) for a, b in zip(reversed_, (mean, std, speed, -trend), strict=True))
    assert all(value.abs().max() < 1e-12 for value in frozen[1:])


def test_clips_that_come_to_rest_are_told_from_the_same_ones_backwards() -> None:
    """Steps that shrink, in random directions: mean, spread and speed are the same both ways."""
    fading = torch.linspace(1, 0, NUM_FRAMES)[:, None]
    one, two = (torch.randn(400, NUM_FRAMES, 4).double() * fading for _ in range(2))
    forward, again, backward = (motion_statistics(x) for x in (one.cumsum(1), two.cumsum(1), two.cumsum(1).flip(1)))
    assert distance(forward, backward) > 20 * distance(forward, again)


def test_the_projection_is_fixed_and_keeps_distances_on_average() -> None:
    x = torch.randn(1, 200, 1280)
    y = project(x)
    assert y.shape == (1, 200, 32)
    assert torch.equal(project(x), y)
    assert float(project(torch.eye(1280)[None])[0, 0, 0]) == pytest.approx(1.764052345967664 / 32**0.5)
    shares = torch.pdist(y[0]) / torch.pdist(x[0].double())
    assert 0.95 < float(shares.mean()) < 1.05


def test_a_missing_network_is_named(tmp_path: Path) -> None:
    for make in (fd_mbv2, fd_mbv2_t):
        with pytest.raises(MissingNetworkError, match=r"^needs mobilenetv2_features_onnxzoo.npz in "):
            make(tmp_path)


def test_motion_needs_three_frames(data_dir: Path) -> None:
    with pytest.raises(InputError, match="motion expects 3 or more"):
        fd_mbv2_t(data_dir / "nets", Windows(2))
    metric = fd_mbv2_t(data_dir / "nets", Windows(3))
    with pytest.raises(InputError, match="a clip of 2 frames"):
        metric.add(np.zeros((2, 32, 32, 3), np.uint8))


def test_the_accumulators_name_what_they_did(data_dir: Path) -> None:
    rng = np.random.default_rng(0)
    frames, clips = fd_mbv2(data_dir / "nets"), fd_mbv2_t(data_dir / "nets", Windows(4, 2))
    for side in (frames.add_real, frames.add):
        side(rng.integers(0, 256, (3, 24, 40, 3), dtype=np.uint8))
    for clip in rng.integers(0, 256, (2, 7, 24, 40, 3), dtype=np.uint8):
        clips.add_real(clip)
        clips.add(clip)
    assert frames.value > 0
    assert clips.value == pytest.approx(0, abs=1e-9)
    digest = find_network(data_dir / "nets", MOBILENET_FILE).sha256[:8]
    assert frames.protocol == (
        f"fd-mbv2: mobilenetv2_features_onnxzoo.npz sha256:{digest}, 1280-d pooled, 8-bit RGB, "
        "bilinear antialiased to 224x224; 3 real, 3, covariance over n - 1"
    )
    assert clips.protocol == (
        f"fd-mbv2-t: mobilenetv2_features_onnxzoo.npz sha256:{digest}, 4 frames, 8-bit RGB, bilinear antialiased to "
        "112x112, 1280-d pooled, fixed projection to 32, mean/std/speed/trend; 2 real, 2, covariance over n - 1; "
        "4 frames at stride 2, first 1 window(s) of a clip"
    )


def real_clips(data_dir: Path, every: int) -> list[np.ndarray]:
    """Sixteen frames, every second one where there are enough, of validation clips of ARID and CCTV."""
    clips = []
    items = [item for item in find_items(data_dir, "val") if item.group in ("arid6_160", "cctv_144")]
    for item in items[::every]:
        frames = read_item(item, 0, 2 * NUM_FRAMES)
        clips.append(frames[::2] if len(frames) == 2 * NUM_FRAMES else frames[:NUM_FRAMES])
    return clips


def check_on_real_clips(data_dir: Path, every: int, least_backwards: float) -> None:
    """The network sees frames one by one, so that a clip's frames put in another order have their features so."""
    network, file = load_mobilenet(data_dir / "nets")
    features = project(
        torch.stack([MotionEmbedding(network, file)._embed_frames(c) for c in real_clips(data_dir, every)])
    )
    rng = np.random.default_rng(0)
    shuffled = torch.stack([clip[rng.permutation(NUM_FRAMES)] for clip in features])
    frozen = features[:, NUM_FRAMES // 2 - 1, None].expand_as(features)
    plain = motion_statistics(features)
    one, two = plain[::2], plain[1::2]
    halves = distance(one, two)
    shuffled_half, frozen_half = (distance(one, motion_statistics(x)[1::2]) for x in (shuffled, frozen))
    backwards = distance(plain, motion_statistics(features.flip(1)))
    chance = []
    for _ in range(10):  # clips of which half run backwards have no direction: what reversing them all gives is chance
        turned = torch.from_numpy(rng.random(len(features)) < 0.5)[:, None, None]
        mixed = torch.where(turned, features.flip(1), features)
        chance.append(distance(motion_statistics(mixed), motion_statistics(mixed.flip(1))))
    print(
        f"{len(plain)} clips: other half {halves:.1f}, shuffled {shuffled_half:.1f}, frozen {frozen_half:.1f}; same "
        f"clips backwards {backwards:.2f}, by chance {np.mean(chance):.2f} +- {np.std(chance):.2f}"
    )
    assert shuffled_half > 1.5 * halves
    assert frozen_half > 2.5 * halves
    assert backwards > least_backwards * float(np.mean(chance))


def test_real_clips_shuffled_frozen_and_backwards(data_dir: Path) -> None:
    check_on_real_clips(data_dir, every=3, least_backwards=1.05)


@pytest.mark.slow
def test_all_validation_clips_shuffled_frozen_and_backwards(data_dir: Path) -> None:
    check_on_real_clips(data_dir, every=1, least_backwards=1.25)


def test_frames_alone_do_not_see_order_and_clips_do(data_dir: Path) -> None:
    """End to end on whole clips: shuffled and reversed frames are the same frames."""
    clips = [clip[:8] for clip in real_clips(data_dir, every=28)]
    order = np.random.default_rng(0).permutation(8)
    changes = {"shuffled": lambda clip: clip[order], "reversed": lambda clip: clip[::-1]}
    embed = load_mobilenet_embedding(data_dir / "nets")
    for name, change in changes.items():
        frames, motion = fd_mbv2(data_dir / "nets"), fd_mbv2_t(data_dir / "nets", Windows(8))
        for clip in clips:
            motion.add_real(clip)
            motion.add(np.ascontiguousarray(change(clip)))
        frames.add_real(clips[0])
        frames.add(np.ascontiguousarray(change(clips[0])))
        scale = float(embed(clips[0]).var(dim=0).sum())
        print(name, frames.value, motion.value)
        assert frames.value < 1e-6 * scale
        assert motion.value > 1


def test_frames_alone_do_not_see_that_clips_stand_still_and_clips_do(data_dir: Path) -> None:
    """Eight clips begin at the eight frames of one and go round; frozen at their first frames, they show them all."""
    clip = real_clips(data_dir, every=80)[0][:8]
    turned = [np.roll(clip, -start, axis=0) for start in range(8)]
    frozen = [np.repeat(one[:1], 8, axis=0) for one in turned]
    features = load_mobilenet_embedding(data_dir / "nets")(clip)
    one, two = Gaussian(), Gaussian()
    one.add(torch.cat([features] * 8))
    two.add(features.repeat_interleave(8, dim=0))
    motion = fd_mbv2_t(data_dir / "nets", Windows(8))
    for real, made in zip(turned, frozen, strict=True):
        motion.add_real(real)
        motion.add(made)
    assert frechet_distance(one, two) < 1e-6 * float(features.var(dim=0).sum())
    assert motion.value > 1


@pytest.mark.usefixtures("unchecked_shapes")
def test_what_are_no_frames_or_clips_is_refused(data_dir: Path) -> None:
    frames, clips = fd_mbv2(data_dir / "nets"), fd_mbv2_t(data_dir / "nets", Windows(3))
    for bad in (np.full((3, 32, 32, 3), np.nan), np.zeros((3, 32, 32, 1), np.uint8), np.zeros((3, 0, 32, 3), np.uint8)):
        for metric in (frames, clips):
            with pytest.raises(InputError, match=r"^frames \(3, .*: expected uint8 \[n, H, W, 3\] of one pixel"):
                metric.add(bad)
