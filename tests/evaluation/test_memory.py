"""Nearness to training clips, and the small classifier."""

import pytest
import torch

from magvit2.errors import InputError
from magvit2.evaluation.memory import LinearClassifier, nearest, share_nearer


def test_the_nearest_training_clip_is_found() -> None:
    found = nearest(torch.tensor([[0.0, 1.0], [5.0, 5.0]]), torch.tensor([[4.0, 5.0], [0.0, 0.0], [9.0, 9.0]]))
    assert found.places.tolist() == [1, 0] and found.distances.tolist() == [1, 1]
    with pytest.raises(InputError, match="2 samples, 0 training clips"):
        nearest(torch.zeros(2, 3), torch.zeros(0, 3))


def test_the_share_is_a_half_for_the_like_and_one_for_copies(generator: torch.Generator) -> None:
    assert share_nearer(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 3.0, 4.0])) == pytest.approx((3 + 1.5) / 6)
    training, new, others = torch.randn(3, 200, 8, generator=generator).unbind(0)
    held_out = nearest(others, training).distances
    assert share_nearer(nearest(new, training).distances, held_out) == pytest.approx(0.5, abs=0.06)
    assert share_nearer(nearest(training, training).distances, held_out) == 1


def test_the_classifier_knows_what_it_can_and_no_more(generator: torch.Generator) -> None:
    labels = torch.arange(300) % 3
    centres = 4 * torch.randn(3, 10, generator=generator)
    apart = centres[labels] + torch.randn(300, 10, generator=generator)
    classifier = LinearClassifier(apart[:200], labels[:200], 3)
    assert classifier.accuracy(apart[200:], labels[200:]) > 0.95
    noise = torch.randn(300, 10, generator=generator)
    assert LinearClassifier(noise[:200], labels[:200], 3).accuracy(noise[200:], labels[200:]) < 0.5
