"""Normalisations against PyTorch's own on single frames and against their formulas; codes repeated onto finer grids."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from magvit2.geometry import Size
from magvit2.layers.norm import AdaptiveNorm, FrameGroupNorm, NormKind, PositionNorm, make_norm, repeat_grid

KINDS: list[NormKind] = ["frame", "position"]


def randomised(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module.double()


def some_features(generator: torch.Generator, channels: int = 64) -> Tensor:
    return 3 + 2 * torch.randn(2, channels, 3, 4, 5, generator=generator, dtype=torch.float64)


def test_frame_group_norm_is_pytorch_s_group_norm_of_every_single_frame(generator: torch.Generator) -> None:
    ours, x = randomised(FrameGroupNorm(64)), some_features(generator)
    theirs = nn.GroupNorm(32, 64, eps=1e-6).double()
    theirs.load_state_dict(ours.state_dict())
    frames = [theirs(x[b, :, t][None])[0] for b in range(2) for t in range(3)]
    expected = torch.stack(frames).view(2, 3, 64, 4, 5).transpose(1, 2)
    torch.testing.assert_close(ours(x), expected)


@pytest.mark.parametrize(("channels", "groups"), [(512, 32), (64, 32), (16, 16), (48, 24), (7, 7), (33, 11)])
def test_frame_group_norm_takes_the_most_groups_up_to_32_that_divide_the_channels(channels: int, groups: int) -> None:
    assert FrameGroupNorm(channels).groups == groups


def test_position_norm_has_mean_0_and_variance_1_over_channels_before_its_affine(generator: torch.Generator) -> None:
    norm, x = randomised(PositionNorm(16)), some_features(generator, 16)
    centred = x - x.mean(dim=1, keepdim=True)
    scaled = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()
    affine = scaled * norm.weight[:, None, None, None] + norm.bias[:, None, None, None]
    torch.testing.assert_close(norm(x), affine)


@pytest.mark.parametrize(("kind", "is_alone"), [("frame", False), ("position", True)])
def test_one_changed_pixel_reaches_no_other_frame(kind: NormKind, is_alone: bool, generator: torch.Generator) -> None:
    norm, x = make_norm(16, kind).double(), some_features(generator, 16)
    y = x.clone()
    y[0, :, 1, 2, 3] = torch.randn(16, generator=generator, dtype=torch.float64)
    changed = (norm(x) != norm(y)).any(dim=1)
    assert changed[0, 1, 2, 3]
    expected = torch.zeros_like(changed)
    expected[0, 1] = not is_alone  # the statistics of a frame reach all of it, those of a position only itself
    expected[0, 1, 2, 3] = True
    assert torch.equal(changed, expected)


def sequential_twin(codes: Tensor, factors: list[Size]) -> Tensor:
    """What the authors' code does after every upsampling: nearest resize, then drop the first t - 1 frames."""
    for time, rows, columns in factors:
        scale = (float(time), float(rows), float(columns))
        codes = functional.interpolate(codes, scale_factor=scale, mode="nearest")[:, :, time - 1 :]
    return codes


@pytest.mark.parametrize("num_latents", range(1, 7))
@pytest.mark.parametrize(
    "factors",
    [[], [(2, 2, 2)], [(2, 2, 2), (2, 2, 2)], [(2, 2, 2), (2, 2, 2), (1, 2, 2)], [(1, 2, 2), (2, 2, 2)], [(1, 2, 2)]],
)
def test_codes_repeat_onto_every_grid_as_upsampling_step_by_step_would(num_latents: int, factors: list[Size]) -> None:
    codes = torch.arange(num_latents * 6, dtype=torch.float32).view(1, 1, num_latents, 2, 3)
    expected = sequential_twin(codes, factors)
    time, rows, columns = (int(torch.tensor([f[axis] for f in factors]).prod()) for axis in range(3))
    repeated = repeat_grid(codes, (time, rows, columns), expected.shape[2])
    assert torch.equal(repeated, expected)


def test_frame_0_takes_the_first_code_and_every_four_frames_the_next() -> None:
    codes = torch.arange(3.0).view(1, 1, 3, 1, 1)
    assert repeat_grid(codes, (4, 1, 1), 9).flatten().tolist() == [0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert repeat_grid(codes[:, :, 1:2], (4, 1, 1), 4).flatten().tolist() == [1, 1, 1, 1]  # a later chunk


@pytest.mark.parametrize("kind", KINDS)
def test_adaptive_norm_scales_and_shifts_every_position_by_its_own_code(
    kind: NormKind, generator: torch.Generator
) -> None:
    adaptive = randomised(AdaptiveNorm(8, 5, kind, (2, 2, 2)))
    codes = torch.randn(2, 5, 2, 2, 3, generator=generator, dtype=torch.float64)
    x = torch.randn(2, 8, 3, 4, 6, generator=generator, dtype=torch.float64)
    out, normal = adaptive(x, codes), make_norm(8, kind, affine=False)(x)
    for t, h, w in [(0, 0, 0), (1, 3, 5), (2, 1, 2)]:
        gamma, beta = adaptive.affine(codes[:, :, (t + 1) // 2, h // 2, w // 2]).chunk(2, dim=-1)
        torch.testing.assert_close(out[:, :, t, h, w], normal[:, :, t, h, w] * (1 + gamma) + beta)


@pytest.mark.parametrize("kind", KINDS)
def test_adaptive_norm_starts_as_the_plain_norm_and_has_no_affine_of_its_own(
    kind: NormKind, generator: torch.Generator
) -> None:
    adaptive = AdaptiveNorm(8, 5, kind, (1, 1, 1)).double()
    codes = torch.randn(1, 5, 3, 4, 6, generator=generator, dtype=torch.float64)
    x = torch.randn(1, 8, 3, 4, 6, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(adaptive(x, codes), make_norm(8, kind).double()(x))
    assert [name for name, _ in adaptive.named_parameters()] == ["affine.weight", "affine.bias"]
