"""FID and Inception score: a stub that gives its input back, NumPy and torchmetrics."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchmetrics.image.inception import InceptionScore as TorchmetricsScore

from magvit2.errors import InputError
from magvit2.features import InceptionNetwork, load_inception
from magvit2.metrics.inception import InceptionScore, fid


class StubInception(nn.Module):
    """Features are pixels, probabilities a softmax of the channels' means."""

    def forward(self, img: Tensor, return_features: bool = False, no_output_bias: bool = False) -> Tensor:
        if return_features:
            return img.flatten(1)[:, :2048].float()
        assert no_output_bias
        return torch.softmax(img.float().mean(dim=[2, 3]) / 10, dim=1)


@pytest.fixture
def network(tmp_path: Path) -> InceptionNetwork:
    torch.jit.script(StubInception()).save(str(tmp_path / "inception-2015-12-05.pt"))
    return load_inception(tmp_path)


def by_numpy(p: np.ndarray, num_splits: int) -> list[float]:
    """The first implementation's formula, on every num_splits-th sample."""
    scores = []
    for start in range(num_splits):
        part = p[start::num_splits]
        with np.errstate(divide="ignore", invalid="ignore"):
            kl = np.where(part > 0, part * (np.log(part) - np.log(part.mean(0, keepdims=True))), 0)
        scores.append(math.exp(kl.sum(1).mean()))
    return scores


def probabilities(n: int = 73, k: int = 11) -> np.ndarray:
    logits = np.random.default_rng(0).normal(size=(n, k)) * 3
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@pytest.mark.parametrize("sizes", [[], [1, 2, 3], [40, 13]])
def test_the_score_by_numpy_in_any_batches(network: InceptionNetwork, sizes: list[int]) -> None:
    p = probabilities()
    score = InceptionScore(network)
    for part in np.split(p, np.cumsum(sizes)):
        score.add_probabilities(torch.from_numpy(part))
    assert score.splits == pytest.approx(by_numpy(p, 10), rel=1e-12)
    assert score.value == pytest.approx(np.mean(by_numpy(p, 10)))
    assert score.spread == pytest.approx(np.std(by_numpy(p, 10)))
    assert score.num_samples == 73


def test_the_extremes(network: InceptionNetwork) -> None:
    sure, unsure = InceptionScore(network, 2), InceptionScore(network, 2)
    sure.add_probabilities(torch.eye(5).repeat(4, 1))  # every class, each for certain
    unsure.add_probabilities(torch.full((8, 5), 0.2))
    assert sure.value == pytest.approx(5)
    assert unsure.value == pytest.approx(1)
    assert unsure.spread == pytest.approx(0, abs=1e-12)


class Logits(nn.Module):
    """What the stub takes the softmax of."""

    def forward(self, img: Tensor) -> Tensor:
        return img.float().mean(dim=[2, 3]) / 10


def test_against_torchmetrics_in_one_split(network: InceptionNetwork) -> None:
    """It shuffles samples before it splits them, so that only one split is the same."""
    frames = np.random.default_rng(1).integers(0, 256, (64, 4, 4, 3), dtype=np.uint8)
    theirs = TorchmetricsScore(feature=Logits(), splits=1)
    theirs.update(torch.from_numpy(frames).permute(0, 3, 1, 2))
    score = InceptionScore(network, 1)
    score.add(frames)
    assert 1.05 < score.value == pytest.approx(float(theirs.compute()[0]), rel=1e-5)


def test_samples_that_come_class_by_class_are_spread_over_the_splits(network: InceptionNetwork) -> None:
    score = InceptionScore(network)
    for label in range(5):
        score.add_probabilities(torch.eye(5)[label].repeat(20, 1))
    assert score.splits == pytest.approx([5.0] * 10)  # 1 to 2 in contiguous splits


def test_frames_go_through_the_network(network: InceptionNetwork) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
    logits = frames.mean((1, 2)) / 10
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    score = InceptionScore(network, 3)
    score.add(frames[:5])
    score.add(frames[5:])
    assert score.splits == pytest.approx(by_numpy(p, 3), rel=1e-5)
    assert score.protocol.startswith("is: inception-2015-12-05.pt sha256:")
    assert score.protocol.endswith("24 samples, 3 interleaved splits")


def test_processes_can_be_merged(network: InceptionNetwork) -> None:
    p = probabilities(60)
    whole, one, two = (InceptionScore(network, 2) for _ in range(3))
    whole.add_probabilities(torch.from_numpy(p))
    one.add_probabilities(torch.from_numpy(p[:20]))
    two.add_probabilities(torch.from_numpy(p[20:]))
    empty = InceptionScore(network, 2)
    empty.merge(one)
    empty.merge(two)
    empty.merge(InceptionScore(network, 2))
    assert empty.splits == pytest.approx(whole.splits, rel=1e-12)
    with pytest.raises(InputError, match="expected one protocol"):
        whole.merge(InceptionScore(network, 3))


def test_what_is_no_probability(network: InceptionNetwork) -> None:
    score = InceptionScore(network, 2)
    with pytest.raises(InputError, match="0 samples: 2 splits expect at least one each"):
        _ = score.value
    for bad in ([[0.5, 0.4]], [[1.5, -0.5]], [[math.nan, 1.0]]):
        with pytest.raises(InputError, match="rows of 0 or more that sum to 1"):
            score.add_probabilities(torch.tensor(bad))
    with pytest.raises(InputError, match="rows of 0 or more"):
        score.add_probabilities(torch.tensor([[0.5, 0.5], [0.5, 0.4]]))
    assert score.num_samples == 0  # nothing of a batch that is refused
    score.add_probabilities(torch.eye(3)[:1])
    with pytest.raises(InputError, match="probabilities of 4 classes: the ones before had 3"):
        score.add_probabilities(torch.eye(4))
    with pytest.raises(InputError, match="1 samples: 2 splits expect at least one each"):
        _ = score.value
    with pytest.raises(InputError, match="num_splits = 0"):
        InceptionScore(network, 0)


@pytest.mark.slow
def test_fid_is_the_frechet_distance_of_features(network: InceptionNetwork) -> None:
    rng = np.random.default_rng(0)
    real, made = (rng.integers(0, high, (6, 26, 27, 3), dtype=np.uint8) for high in (256, 200))
    metric = fid(network)
    metric.add_real(real)
    metric.add(made)
    one, two = (x.transpose(0, 3, 1, 2).reshape(6, -1)[:, :2048].astype(np.float64) for x in (real, made))
    shift = ((one.mean(0) - two.mean(0)) ** 2).sum()
    centred = [(x - x.mean(0)) / math.sqrt(5) for x in (one, two)]
    overlap = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()  # in the samples' space
    expected = shift + sum((x**2).sum() for x in centred) - 2 * overlap
    assert metric.value == pytest.approx(expected, rel=1e-9)
    assert metric.name == "fid"
    assert "6 real, 6, covariance over n - 1" in metric.protocol


@pytest.mark.usefixtures("unchecked_shapes")
def test_what_are_no_frames_is_refused(network: InceptionNetwork) -> None:
    for metric in (fid(network), InceptionScore(network)):
        for bad in (np.full((2, 8, 8, 3), math.nan), np.zeros((2, 8, 8, 4), np.uint8), np.zeros((2, 8, 8), np.uint8)):
            with pytest.raises(InputError, match=r"^frames \(2, 8, 8.*: expected uint8 \[n, H, W, 3\]"):
                metric.add(bad)
    with pytest.raises(InputError, match="rows of 0 or more that sum to 1"):
        InceptionScore(network).add_probabilities(torch.ones(1))
