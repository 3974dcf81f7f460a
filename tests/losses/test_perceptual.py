"""Perceptual losses: which frames are looked at, what comes back, where the networks come from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from magvit2.data.frames import to_clip
from magvit2.errors import ConfigError
from magvit2.features import FrameDistance, LogitDistance, MissingNetworkError
from magvit2.features.resnet import ResNet50, ResNet50V2Stages
from magvit2.losses import PerceptualWeights, open_perceptual, perceptual_loss, pick_frames
from magvit2.video import read_image


def clips(seed: int, num_frames: int = 2, side: int = 32) -> Tensor:
    return torch.rand(2, 3, num_frames, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def random_resnet() -> LogitDistance:
    torch.manual_seed(0)
    return LogitDistance(ResNet50(), "test", "test")


def random_features() -> FrameDistance:
    torch.manual_seed(0)
    return FrameDistance(ResNet50V2Stages(), None, "test", "test")


class Difference(FrameDistance):
    """A distance that one can compute by hand: of the frames' means."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        return (images - others).mean(dim=(1, 2, 3)).abs()


def test_only_the_picked_frames_of_each_clip_count() -> None:
    originals, decoded = torch.zeros(2, 3, 4, 8, 8), torch.zeros(2, 3, 4, 8, 8)
    decoded[0, :, 1], decoded[0, :, 2], decoded[1, :, 3] = 0.5, 100.0, 1.5
    frames = torch.tensor([[1, 0], [3, 2]])
    assert perceptual_loss(Difference(), decoded, originals, frames).item() == pytest.approx((0.5 + 1.5) / 4)


def test_picked_frames_differ_within_a_clip_and_between_steps() -> None:
    picks = [pick_frames(3, 9, 4, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert torch.equal(picks[0], picks[1]) and not torch.equal(picks[0], picks[2])
    assert all(len(set(row)) == 4 and max(row) < 9 for row in picks[0].tolist())
    assert pick_frames(2, 5, 0, np.random.default_rng(0)).tolist() == [[0, 1, 2, 3, 4]] * 2
    assert pick_frames(1, 1, 4, np.random.default_rng(0)).tolist() == [[0]]


def test_the_paper_s_loss_is_the_squared_difference_of_logits_of_224_pixels() -> None:
    distance = random_resnet()
    images, others = clips(0)[:, :, 0], clips(1)[:, :, 0]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

    def logits(x: Tensor) -> Tensor:
        x = torch.nn.functional.interpolate((x + 1) / 2, (224, 224), mode="bilinear", align_corners=False)
        return distance.network((x - mean[:, None, None]) / std[:, None, None])

    torch.testing.assert_close(distance(images, others), ((logits(images) - logits(others)) ** 2).mean(dim=1))


@pytest.mark.parametrize("make", [random_resnet, random_features])
def test_a_clip_has_no_distance_to_itself_and_gradients_reach_the_decoded_one_alone(make: object) -> None:
    distance = make()  # type: ignore[operator]
    originals, decoded = clips(0), clips(1).requires_grad_()
    frames = torch.arange(2).expand(2, -1)
    assert perceptual_loss(distance, originals, originals, frames).item() == 0
    perceptual_loss(distance, decoded, originals, frames).backward()
    assert decoded.grad is not None and decoded.grad.isfinite().all() and decoded.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in distance.parameters())


def test_gradients_are_finite_where_all_features_vanish() -> None:
    distance = random_features()
    black = torch.full((1, 3, 1, 32, 32), -1.0, requires_grad=True)
    perceptual_loss(
        distance, black, torch.full((1, 3, 1, 32, 32), -1.0), torch.zeros(1, 1, dtype=torch.int64)
    ).backward()
    assert black.grad is not None and black.grad.isfinite().all()


def test_a_network_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert open_perceptual(PerceptualWeights(), tmp_path) is None
    assert open_perceptual(PerceptualWeights("resnet50v2", weight=0.0), None) is None
    with pytest.raises(MissingNetworkError, match=r"needs resnet50-0676ba61\.pth or .* in "):
        open_perceptual(PerceptualWeights("resnet50-logits"), tmp_path)
    with pytest.raises(
        MissingNetworkError, match=r"needs resnet50v2_.*npz in a folder of networks \(give one: --nets DIR\)"
    ):
        open_perceptual(PerceptualWeights("resnet50v2"), None)


@pytest.mark.parametrize("changes", [{"weight": -1.0}, {"num_frames": -1}])
def test_impossible_weights_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="of 0 or more"):
        PerceptualWeights("resnet50v2", **changes)


def test_the_substitute_grows_with_the_blur_of_a_photograph(data_dir: Path) -> None:
    distance = open_perceptual(PerceptualWeights("resnet50v2"), data_dir / "nets")
    assert distance is not None
    sharp = to_clip(read_image(data_dir / "kodak24" / "23.png")[None, 128:256, 128:256])
    frames = torch.zeros(1, 1, dtype=torch.int64)
    blurred = [torch.nn.functional.avg_pool3d(sharp, (1, k, k), 1, (0, k // 2, k // 2)) for k in (3, 5, 9)]
    found = [perceptual_loss(distance, each, sharp, frames).item() for each in blurred]
    assert 0 < found[0] < found[1] < found[2]
