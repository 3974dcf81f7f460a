"""The discriminator's size by hand, its layers against plain twins, and that it learns."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from magvit2.adversarial import Discriminator, DiscriminatorConfig, discriminator_loss
from magvit2.adversarial.discriminator import BlurDownBlock, SameConv3d, blur_pool
from magvit2.errors import ConfigError, InputError
from magvit2.schema import from_dict, to_dict
from tests.adversarial.tiny import SIZE, random_clips, tiny_discriminator

PAPER = DiscriminatorConfig()
IMAGE = DiscriminatorConfig(num_frames=1)


def num_parameters(config: DiscriminatorConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Discriminator(config).parameters())


def counted_by_hand(taps: int, positions: int) -> int:
    """Weights and biases of the paper's widths, layer by layer, for kernels of so many taps and a last map so large."""
    stem = 3 * 128 * taps + 128
    narrow = (128 * 128 * taps + 128) + (128 * 256 * taps + 256) + 128 * 256
    wider = (256 * 256 * taps + 256) + (256 * 512 * taps + 512) + 256 * 512
    widest = 2 * (512 * 512 * taps + 512) + 512 * 512
    final = 512 * 512 * taps + 512
    head = (positions * 512 * 512 + 512) + (512 + 1)
    return stem + narrow + wider + 3 * widest + final + head


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (PAPER, counted_by_hand(27, 1 * 4 * 4)),
        (IMAGE, counted_by_hand(9, 4 * 4)),
        (dataclasses.replace(IMAGE, height=256, width=256), counted_by_hand(9, 8 * 8)),
        (dataclasses.replace(PAPER, head="pool"), counted_by_hand(27, 1)),
    ],
    ids=["video", "image", "image 256", "pool"],
)
def test_it_has_the_parameters_that_a_hand_count_gives(config: DiscriminatorConfig, count: int) -> None:
    assert num_parameters(config) == count


def test_the_paper_s_has_61_million() -> None:
    assert num_parameters(PAPER) == 61_341_569 == pytest.approx(61e6, rel=0.01)


def test_seventeen_frames_halve_to_one_and_128_pixels_to_four() -> None:
    assert PAPER.grid == (1, 4, 4)
    halved = dataclasses.replace(PAPER, channel_multipliers=(1,))
    assert [dataclasses.replace(halved, num_frames=n).grid[0] for n in (17, 9, 5, 3, 2, 1)] == [9, 5, 3, 2, 1, 1]


@pytest.mark.parametrize(
    "changes",
    [
        {"channel_multipliers": ()},
        {"channel_multipliers": (2, 0)},
        {"base_channels": 0},
        {"num_frames": 0},
        {"height": -1},
    ],
    ids=str,
)
def test_impossible_shapes_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        DiscriminatorConfig(**changes)


def test_its_configuration_travels_as_json() -> None:
    config = DiscriminatorConfig(base_channels=8, head="pool")
    assert from_dict(DiscriminatorConfig, to_dict(config)) == config
    with pytest.raises(ConfigError, match="'flatten', 'pool'"):
        from_dict(DiscriminatorConfig, {"head": "mean"})


def blurred_by_loops(x: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """Every output position is the sum of the inputs around its centre, weighted by distance; none are outside."""
    pooled = [factor == 2 and side > 1 for factor, side in zip(factors, x.shape[2:], strict=True)]
    shape = [(side + 1) // 2 if pool else side for pool, side in zip(pooled, x.shape[2:], strict=True)]
    y = np.zeros((*x.shape[:2], *shape))
    for index in np.ndindex(*shape):
        for source in np.ndindex(*x.shape[2:]):
            weight = 1.0
            for at, i, side, pool in zip(index, source, x.shape[2:], pooled, strict=True):
                centre = 2 * at + (side % 2 == 0) if pool else at
                weight *= {0: 0.5, 1: 0.25}.get(abs(i - centre), 0) if pool else float(i == centre)
            y[:, :, *index] += weight * x[:, :, *source]
    return y


@pytest.mark.parametrize("factors", [(2, 2, 2), (1, 2, 2)])
@pytest.mark.parametrize("size", [(5, 4, 7), (2, 3, 1), (1, 6, 5), (1, 1, 1), (4, 1, 2)])
def test_blur_pooling_is_a_weighted_sum_of_neighbours(
    size: tuple[int, int, int], factors: tuple[int, int, int], generator: torch.Generator
) -> None:
    x = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(blur_pool(x, factors), torch.from_numpy(blurred_by_loops(x.numpy(), factors)))


def test_blur_pooling_keeps_a_constant_away_from_the_borders() -> None:
    y = blur_pool(torch.full((1, 1, 9, 8, 7), 3.0), (2, 2, 2))
    assert y.shape == (1, 1, 5, 4, 4)
    assert (y[:, :, 1:-1, :-1, 1:-1] == 3).all()
    assert (y[:, :, 0, :-1, 1:-1] == 3 * 0.75).all()  # zeros are around it


def test_blur_pooling_removes_the_finest_pattern() -> None:
    """Plain striding would turn alternating columns into a constant."""
    stripes = torch.tensor([1.0, -1.0]).repeat(4).expand(1, 1, 3, 4, 8)
    assert (blur_pool(stripes, (2, 2, 2))[..., :-1] == 0).all()


def plain_block(block: BlurDownBlock, x: Tensor) -> Tensor:
    """The block in two dimensions or three, with one grouped convolution as the blur."""
    dims = x.ndim - 2
    conv = functional.conv3d if dims == 3 else functional.conv2d
    line = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype) / 4
    taps = torch.einsum("i,j,k->ijk", line, line, line) if dims == 3 else torch.outer(line, line)

    def blur(y: Tensor) -> Tensor:
        padding = [amount for side in reversed(y.shape[2:]) for amount in ((1, 1) if side % 2 else (0, 1))]
        kernel = taps.expand(y.shape[1], 1, *taps.shape)
        return conv(functional.pad(y, padding), kernel, stride=2, groups=y.shape[1])

    def weight(layer: nn.Conv3d) -> Tensor:
        return layer.weight if dims == 3 else layer.weight.squeeze(2)

    main = functional.leaky_relu(conv(x, weight(block.conv1), block.conv1.bias, padding=1), 0.2)
    main = functional.leaky_relu(conv(blur(main), weight(block.conv2), block.conv2.bias, padding=1), 0.2)
    return (main + conv(blur(x), weight(block.skip))) / 2**0.5


def test_a_block_is_figure_7_s(generator: torch.Generator) -> None:
    block = BlurDownBlock(3, 5, PAPER).double()
    nn.init.normal_(block.conv1.bias), nn.init.normal_(block.conv2.bias)
    x = torch.randn(2, 3, 5, 6, 7, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(block(x), plain_block(block, x))


def test_an_image_block_is_its_two_dimensional_twin(generator: torch.Generator) -> None:
    block = BlurDownBlock(3, 5, IMAGE).double()
    x = torch.randn(2, 3, 6, 7, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(block(x[:, :, None])[:, :, 0], plain_block(block, x))


@pytest.mark.parametrize("changes", [{}, {"num_frames": 1}, {"head": "pool"}], ids=str)
def test_each_clip_gets_a_logit_of_its_own(changes: dict[str, object], generator: torch.Generator) -> None:
    discriminator = tiny_discriminator(**changes)
    clips = random_clips(generator, size=(discriminator.config.num_frames, *SIZE[1:]))
    logits = discriminator(clips)
    assert logits.shape == (3,)
    torch.testing.assert_close(torch.cat([discriminator(clip[None]) for clip in clips]), logits)


def test_a_flattening_head_names_the_size_that_it_takes() -> None:
    with pytest.raises(InputError, match=r"\(9, 6, 7\).*\(5, 6, 7\) only"):
        tiny_discriminator()(torch.zeros(1, 3, 9, 6, 7, dtype=torch.float64))


def test_a_pooling_head_takes_any_size_and_length(generator: torch.Generator) -> None:
    discriminator = tiny_discriminator(head="pool")
    for size in ((1, 1, 1), (1, 16, 16), (17, 8, 9)):
        assert discriminator(random_clips(generator, 2, size)).shape == (2,)


def test_an_image_discriminator_that_pools_means_over_frames(generator: torch.Generator) -> None:
    """Frames meet only in the mean before the head, so their order does not matter."""
    discriminator = tiny_discriminator(head="pool", num_frames=1)
    clips = random_clips(generator)
    torch.testing.assert_close(discriminator(clips.flip(2)), discriminator(clips))
    assert not torch.allclose(tiny_discriminator(head="pool")(clips.flip(2)), tiny_discriminator(head="pool")(clips))


def test_the_memory_layout_changes_no_logit(generator: torch.Generator) -> None:
    discriminator, clips = tiny_discriminator(), random_clips(generator)
    last = clips.contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(discriminator(last), discriminator(clips))
    pooled = blur_pool(last, (2, 2, 2))
    assert pooled.is_contiguous(memory_format=torch.channels_last_3d)


def test_it_learns_to_tell_moving_stripes_from_noise(generator: torch.Generator) -> None:
    def stripes(phases: Tensor) -> Tensor:
        """A pattern that moves by half a radian a frame."""
        frames, columns = torch.arange(5.0)[:, None, None], torch.arange(7.0)
        waves = torch.sin(phases[:, None, None, None] + frames / 2 + columns)
        return waves[:, None].expand(-1, 3, -1, 6, -1)

    discriminator = tiny_discriminator(base_channels=8).float()
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=5e-3, betas=(0.0, 0.99))
    for _ in range(30):
        real, fake = stripes(torch.rand(16, generator=generator) * 6.28), random_clips(generator, 16).float()
        optimizer.zero_grad()
        discriminator_loss(discriminator(real), discriminator(fake), "non-saturating").backward()
        optimizer.step()
    real, fake = stripes(torch.rand(16, generator=generator) * 6.28), random_clips(generator, 16).float()
    assert discriminator(real).min() > 0 > discriminator(fake).max()


@pytest.mark.parametrize("size", [(2, 8, 8), (2, 2, 2), (1, 1, 1), (3, 2, 1), (5, 4, 4)])
def test_gradients_in_bfloat16_are_those_in_float32(size: tuple[int, int, int], generator: torch.Generator) -> None:
    """Told to pad, oneDNN gets those of axes shorter than the kernel wrong."""
    layer = SameConv3d(8, 16, (3, 3, 3))
    x, slope = (torch.randn(2, channels, *size, generator=generator) for channels in (8, 16))
    (layer(x) * slope).sum().backward()
    expected = layer.weight.grad.clone()
    layer.weight.grad = None
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    (y.float() * slope).sum().backward()
    assert y.dtype == torch.bfloat16
    assert (layer.weight.grad - expected).norm() < 0.02 * expected.norm()
