"""Top-1 and top-5: by hand, by NumPy, and what a classifier that says nothing scores."""

import math

import numpy as np
import pytest
import torch

from magvit2.errors import InputError
from magvit2.metrics.accuracy import Accuracy


def test_against_numpy_in_any_batches() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(200, 3, 12)) * 2, rng.integers(0, 12, 200)
    shares = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
    order = np.argsort(-shares.mean(1), axis=1)
    one, two = Accuracy(12), Accuracy(12)
    one.add(torch.from_numpy(logits), torch.from_numpy(labels))
    for start in range(0, 200, 7):
        two.add(torch.from_numpy(logits[start : start + 7]), torch.from_numpy(labels[start : start + 7]))
    for accuracy in (one, two):
        assert accuracy.top1 == accuracy.value == np.mean(order[:, 0] == labels)
        assert accuracy.top5 == np.mean((order[:, :5] == labels[:, None]).any(1))
    assert one.protocol == "top-1, top-5: 200 clips, 12 classes, mean probability of 3 view(s)"


def test_probabilities_are_averaged_not_logits() -> None:
    """One view is sure beyond reason; two others agree on something else."""
    views = torch.tensor([[[0.0, 4.0], [0.0, 4.0], [20.0, 0.0]]])
    assert int(views.mean(1).argmax()) == 0
    accuracy = Accuracy(2)
    accuracy.add(views, torch.tensor([1]))
    assert accuracy.top1 == 1.0


def test_saying_nothing_scores_nothing() -> None:
    accuracy = Accuracy(10)
    accuracy.add(torch.zeros(8, 2, 10), torch.arange(8))
    assert (accuracy.top1, accuracy.top5) == (0.0, 0.0)


def test_top_5_of_five_classes_is_no_number() -> None:
    accuracy = Accuracy(5)
    assert math.isnan(accuracy.top1)
    accuracy.add(torch.eye(5)[:, None], torch.arange(5))
    assert accuracy.top1 == 1.0
    assert math.isnan(accuracy.top5)


def test_processes_can_be_merged() -> None:
    one, two = Accuracy(6), Accuracy(6)
    one.add(torch.eye(6)[:, None], torch.arange(6))
    two.add(torch.eye(6)[:2, None].repeat(1, 4, 1), torch.tensor([1, 1]))
    one.merge(two)
    assert (one.num_clips, one.top1) == (8, 7 / 8)
    assert one.protocol.endswith("8 clips, 6 classes, mean probability of 1/4 view(s)")
    with pytest.raises(InputError, match="merging 7 classes into 6"):
        one.merge(Accuracy(7))


@pytest.mark.usefixtures("unchecked_shapes")
def test_what_is_refused() -> None:
    accuracy = Accuracy(3)
    with pytest.raises(InputError, match=r"logits of shape \[2, 3\]: expected \[b, views, 3\]"):
        accuracy.add(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(InputError, match=r"^3 labels of 2 clips: expected one for each$"):
        accuracy.add(torch.zeros(2, 1, 3), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(InputError, match=r"logits of shape \[2, 1, 4\]: expected \[b, views, 3\]"):
        accuracy.add(torch.zeros(2, 1, 4), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(InputError, match=r"logits of shape \[2, 0, 3\]"):
        accuracy.add(torch.zeros(2, 0, 3), torch.zeros(2, dtype=torch.int64))
    for bad in (math.nan, math.inf):
        with pytest.raises(InputError, match="logits hold NaN or infinity"):
            accuracy.add(torch.tensor([[[0.0, bad, 1.0]]]), torch.tensor([0]))
    for label in (-1, 3):
        with pytest.raises(InputError, match=r"expected 0 to 2"):
            accuracy.add(torch.zeros(1, 1, 3), torch.tensor([label]))
    with pytest.raises(InputError, match="num_classes = 1"):
        Accuracy(1)
    assert accuracy.num_clips == 0
