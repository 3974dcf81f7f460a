"""Inflation: a video model that begins as its image model."""

import dataclasses

import pytest
import torch

from magvit2.errors import InputError
from magvit2.tokenizer import Tokenizer, TokenizerConfig, inflate, is_inflatable
from magvit2.tokenizer.presets import tokenizer_preset

VIDEO = TokenizerConfig(
    num_bits=6,
    base_channels=8,
    channel_multipliers=(1, 2, 2),
    temporal_downsample=(False, True),
    num_encoder_blocks=1,
    num_decoder_blocks=1,
    num_mid_blocks=1,
)
CONFIGS = {
    "frame norm": VIDEO,
    "position norm, patch stem": dataclasses.replace(VIDEO, norm="position", patch_size=2, upsample_kernel=1),
    "time first": dataclasses.replace(VIDEO, temporal_downsample=(True, True)),
    "fsq": dataclasses.replace(VIDEO, quantizer="fsq", levels=(8, 8, 5)),
    "vq": dataclasses.replace(VIDEO, quantizer="vq", codebook_size=16, codebook_dim=8),
}


def image_model(video: TokenizerConfig) -> Tokenizer:
    """An image model with random weights everywhere, adaptive norms and biases too."""
    config = dataclasses.replace(video, is_image=True, temporal_downsample=(False,) * len(video.temporal_downsample))
    model = Tokenizer(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture(params=CONFIGS, ids=str)
def pair(request: pytest.FixtureRequest) -> tuple[Tokenizer, Tokenizer]:
    config = CONFIGS[request.param]
    image = image_model(config)
    return image, inflate(image, config).double().eval()


def test_an_inflated_model_reproduces_its_image_model_on_a_still_clip_s_first_frame(
    pair: tuple[Tokenizer, Tokenizer], generator: torch.Generator
) -> None:
    image, video = pair
    photo = torch.rand(2, 3, 1, 16, 24, generator=generator, dtype=torch.float64) * 2 - 1
    still = photo.expand(-1, -1, 1 + 2 * video.space.strides[0], -1, -1)
    ids = video.encode(still)
    assert ids[:, :1].equal(image.encode(photo))
    assert torch.allclose(video.decode(ids)[:, :, :1], image.decode(image.encode(photo)), atol=1e-6)


def test_every_latent_of_a_moving_clip_is_that_of_the_last_frame_it_covers_as_an_image(
    pair: tuple[Tokenizer, Tokenizer], generator: torch.Generator
) -> None:
    image, video = pair
    stride = video.space.strides[0]
    clip = torch.rand(1, 3, 1 + 2 * stride, 16, 16, generator=generator, dtype=torch.float64) * 2 - 1
    assert video.encode(clip).equal(image.encode(clip[:, :, ::stride]))


def test_every_decoded_frame_is_the_image_of_its_latent(
    pair: tuple[Tokenizer, Tokenizer], generator: torch.Generator
) -> None:
    image, video = pair
    ids = torch.randint(video.space.vocab_size, (1, 3, 2, 3), generator=generator)
    frames, images = video.decode(ids), image.decode(ids)
    for frame in range(frames.shape[2]):
        latent = video.space.latent_of(frame)
        assert torch.allclose(frames[:, :, frame], images[:, :, latent], atol=1e-6)


def test_the_paper_s_video_model_inflates_from_its_image_model() -> None:
    image, video = tokenizer_preset("image-128"), tokenizer_preset("video-128")
    assert is_inflatable(image, video)
    with torch.device("meta"):
        inflated = inflate(Tokenizer(image), video)
    assert inflated.config == video


def test_the_image_model_is_left_alone(pair: tuple[Tokenizer, Tokenizer]) -> None:
    image, video = pair
    before = {name: value.clone() for name, value in image.state_dict().items()}
    with torch.no_grad():
        for parameter in video.parameters():
            parameter.add_(1)
    assert all(value.equal(before[name]) for name, value in image.state_dict().items())


@pytest.mark.parametrize(
    "change",
    [{"base_channels": 16}, {"num_bits": 7}, {"kernel_size": 5}, {"norm": "position"}, {"patch_size": 2}],
    ids=str,
)
def test_models_that_differ_in_more_than_time_are_refused(change: dict[str, object]) -> None:
    image = image_model(VIDEO)
    other = dataclasses.replace(VIDEO, **change)
    assert not is_inflatable(image.config, other)
    with pytest.raises(InputError, match="cannot be inflated"):
        inflate(image, other)


def test_a_video_model_is_no_image_model() -> None:
    with pytest.raises(InputError, match="expected an image model and a causal video model"):
        inflate(Tokenizer(VIDEO), VIDEO)
