"""Mean perceptual distances over frames: any batches, the networks' own values, what is refused."""

import math

import numpy as np
import pytest
import torch

from magvit2.errors import InputError
from magvit2.features import FrameDistance
from magvit2.features.classic import SqueezeNet
from magvit2.metrics.perceptual import PerceptualDistance


def network(protocol: str = "psq: random") -> FrameDistance:
    torch.manual_seed(0)
    return FrameDistance(SqueezeNet(classifier=False), None, "psq", protocol)


def frames(seed: int, n: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 24, 32, 3), dtype=np.uint8)


def test_the_mean_is_over_frames_whatever_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    distance = network()
    planes = [torch.from_numpy(frames(seed)).permute(0, 3, 1, 2) / 127.5 - 1 for seed in (0, 1)]
    expected = distance(*planes).mean().item()
    once, often, passes = PerceptualDistance(distance), PerceptualDistance(distance), PerceptualDistance(distance)
    once.add(frames(0), frames(1))
    for one, two in zip(frames(0), frames(1), strict=True):
        often.add(one[None], two[None])
    monkeypatch.setattr("magvit2.metrics.perceptual._PIXELS_PER_PASS", 2 * 24 * 32)
    passes.add(frames(0), frames(1))
    for metric in (once, often, passes):
        assert metric.value == pytest.approx(expected, rel=1e-5)
        assert metric.num_frames == 5
    assert once.name == "psq"
    assert once.protocol == "psq: random, 8-bit RGB, mean over frames"


def test_equal_frames_have_no_distance_and_no_frames_no_value() -> None:
    metric = PerceptualDistance(network())
    assert math.isnan(metric.value)
    metric.add(frames(0), frames(0))
    assert metric.value == 0


def test_processes_can_be_merged() -> None:
    distance = network()
    whole, one, two = (PerceptualDistance(distance) for _ in range(3))
    whole.add(frames(0), frames(1))
    one.add(frames(0)[:2], frames(1)[:2])
    two.add(frames(0)[2:], frames(1)[2:])
    one.merge(two)
    assert one.value == pytest.approx(whole.value, rel=1e-5)
    with pytest.raises(InputError, match="expected one protocol"):
        one.merge(PerceptualDistance(network("another")))


@pytest.mark.usefixtures("unchecked_shapes")
def test_frames_of_two_sizes_are_refused() -> None:
    with pytest.raises(InputError, match=r"frames of shapes \(5, 24, 32, 3\) and \(4, 24, 32, 3\): expected the same"):
        PerceptualDistance(network()).add(frames(0), frames(1, 4))


@pytest.mark.usefixtures("unchecked_shapes")
def test_floats_and_frames_too_small_for_the_network_are_refused() -> None:
    metric = PerceptualDistance(network())
    with pytest.raises(InputError, match=r"^frames \(5, 24, 32, 3\) of float64: expected uint8 \[n, H, W, 3\]"):
        metric.add(frames(0), np.full((5, 24, 32, 3), math.nan))
    with pytest.raises(InputError, match=r"^frames of 16 pixels a side: psq expects 17 or more$"):
        metric.add(frames(0)[:, :16], frames(1)[:, :16])
    with pytest.raises(InputError, match=r"\(5, 0, 32, 3\) of uint8: expected uint8 .* of one pixel or more$"):
        metric.add(frames(0)[:, :0], frames(1)[:, :0])
    assert metric.num_frames == 0
