"""What a tokenizer promises besides exactness: types, ranges, prefixes of bits, gradients, and errors that say what."""

import dataclasses
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from magvit2.errors import ConfigError, InputError
from magvit2.tokenizer import TOKENIZER_PRESETS, Tokenizer, TokenizerConfig, tokenizer_preset
from tests.tokenizer.making import (
    ALL_CONFIGS,
    IMAGES,
    OURS,
    PAPER_LIKE,
    random_clips,
    random_ids,
    random_tokenizer,
)

every = pytest.mark.parametrize("config", ALL_CONFIGS.values(), ids=ALL_CONFIGS)


@every
def test_decoded_clips_are_float32_in_minus_one_to_one(config: TokenizerConfig) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        tokenizer = random_tokenizer(config, dtype)
        nn.init.constant_(tokenizer.decoder.head.bias, 1.0)
        clips = tokenizer.decode(random_ids(tokenizer, 1, 2, 2, 2))
        assert clips.dtype == torch.float32
        assert clips.max() == 1 and clips.min() >= -1
        assert tokenizer.dtype == dtype and tokenizer.device.type == "cpu"


@every
def test_neither_encoding_nor_decoding_keeps_a_graph(config: TokenizerConfig) -> None:
    tokenizer = random_tokenizer(config)
    ids = tokenizer.encode(random_clips(1, 1, 8, 8).requires_grad_())
    assert not tokenizer.decode(ids).requires_grad and tokenizer.encoder.stem.weight.requires_grad


@every
def test_training_is_encoder_quantizer_decoder_and_reaches_every_parameter(config: TokenizerConfig) -> None:
    tokenizer, clips = random_tokenizer(config), random_clips(2, 5, 16, 16)
    decoded, quantized = tokenizer(clips)
    assert decoded.shape == clips.shape and decoded.abs().max() > 1  # not clamped
    assert quantized.ids.shape == (2, *_grid(config)) and quantized.latents.shape == (2, *_grid(config), 6)
    decoded.square().mean().backward()
    for name, parameter in tokenizer.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def _grid(config: TokenizerConfig) -> tuple[int, int, int]:
    return (5, 4, 4) if config.is_image else (2, 2, 2)


@every
@pytest.mark.parametrize("num_bits", [1, 4, 6])
def test_the_lowest_bits_decode_with_the_other_channels_at_zero(config: TokenizerConfig, num_bits: int) -> None:
    tokenizer = random_tokenizer(config)
    ids = random_ids(tokenizer, 1, 1, 2, 2)
    codes = tokenizer.quantizer.ids_to_codes(ids)
    codes[..., num_bits:] = 0
    with torch.no_grad():
        expected = tokenizer.decoder(codes.permute(0, 4, 1, 2, 3)).clamp(-1, 1)
    torch.testing.assert_close(tokenizer.decode(ids, num_bits=num_bits), expected)
    prefix = ids % 2**num_bits  # the dropped bits do not matter
    assert torch.equal(tokenizer.decode(prefix, num_bits=num_bits), tokenizer.decode(ids, num_bits=num_bits))


def test_integers_of_any_width_decode() -> None:
    tokenizer = random_tokenizer(OURS)
    ids = random_ids(tokenizer, 1, 2, 1, 1)
    assert torch.equal(tokenizer.decode(ids.int()), tokenizer.decode(ids))


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    "clips",
    [
        torch.zeros(3, 5, 8, 8),
        torch.zeros(1, 1, 5, 8, 8),
        torch.zeros(1, 3, 0, 8, 8),
        torch.zeros(0, 3, 5, 8, 8),
        torch.zeros(1, 3, 5, 8, 8, dtype=torch.uint8),
    ],
    ids=["no batch", "grey", "no frame", "no clip", "uint8"],
)
def test_clips_that_are_none_are_refused(clips: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"expected floats \[b, 3, T, H, W\] in \[-1, 1\]") as error:
        random_tokenizer(OURS).encode(clips)
    assert str(tuple(clips.shape)) in str(error.value)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_clips_that_hold_no_numbers_are_refused(bad: float, dtype: torch.dtype) -> None:
    """One such pixel anywhere, in a clip that is laid out in any way."""
    tokenizer, clips = random_tokenizer(OURS, dtype), random_clips(2, 5, 8, 8, dtype=dtype)
    clips[1, 2, 4, 7, 0] = bad
    for layout in (clips, clips.to(memory_format=torch.channels_last_3d), clips.flip(4)[:, :, :, 1:]):
        with pytest.raises(InputError, match=r"^clips hold NaN or infinity: expected finite numbers in \[-1, 1\]$"):
            tokenizer.encode(layout)
    ids = tokenizer.encode_stream(clips[1].unbind(1))
    assert torch.equal(next(ids), tokenizer.encode(clips[1:, :, :1])[0])  # the frame before it is no worse for it
    with pytest.raises(InputError, match=r"^a frame holds NaN or infinity: expected finite numbers in \[-1, 1\]$"):
        next(ids)


def test_values_beyond_the_range_are_the_caller_s_matter() -> None:
    tokenizer = random_tokenizer(OURS)
    assert tokenizer.encode(random_clips(1, 1, 8, 8) * 1e30).shape == (1, 1, 1, 1)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        (torch.zeros(2, 1, 1), {}, r"expected integers \[b, t, h, w\]"),
        (torch.zeros(1, 1, 1, 1), {}, "torch.float32: expected integers"),
        (torch.zeros(1, 0, 1, 1, dtype=torch.int64), {}, "expected integers"),
        (torch.full((1, 1, 1, 1), 64), {}, "expected 0 to 63"),
        (torch.full((1, 1, 1, 1), -1), {}, "expected 0 to 63"),
        (torch.zeros(1, 1, 1, 1, dtype=torch.int64), {"num_bits": 0}, "num_bits = 0: expected 1 to 6"),
        (torch.zeros(1, 1, 1, 1, dtype=torch.int64), {"num_bits": 7}, "num_bits = 7: expected 1 to 6"),
    ],
)
def test_ids_that_cannot_be_decoded_are_refused(ids: torch.Tensor, options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        random_tokenizer(OURS).decode(ids, **options)


def test_training_refuses_clips_that_do_not_fill_latent_positions() -> None:
    for size in [(4, 16, 16), (5, 12, 16), (5, 16, 4)]:
        with pytest.raises(InputError, match="do not fill latent positions, as training needs"):
            random_tokenizer(OURS)(random_clips(1, *size))


@pytest.mark.usefixtures("unchecked_shapes")
def test_streams_refuse_what_they_cannot_use() -> None:
    tokenizer = random_tokenizer(OURS)
    frame, ids = torch.zeros(3, 8, 8), torch.zeros(1, 1, 1, dtype=torch.int64)
    with pytest.raises(InputError, match="at least one frame"):
        list(tokenizer.encode_stream([]))
    for other in (torch.zeros(3, 8, 9), torch.zeros(1, 8, 8), torch.zeros(3, 8, 8, dtype=torch.uint8)):
        with pytest.raises(InputError, match="all of one size"):
            list(tokenizer.encode_stream([frame, other]))
    with pytest.raises(InputError, match="expected 0 to 63"):
        list(tokenizer.decode_stream([ids, ids + 64]))
    with pytest.raises(InputError, match="end after 5 frames; size says 6"):
        list(tokenizer.decode_stream([ids, ids], size=(6, 8, 8)))


@pytest.mark.parametrize("name", TOKENIZER_PRESETS)
def test_every_preset_can_be_built_without_memory_and_names_its_space(name: str) -> None:
    config = tokenizer_preset(name)
    with torch.device("meta"):
        tokenizer = Tokenizer(config)
    assert all(parameter.is_meta for parameter in tokenizer.parameters())
    assert tokenizer.space.vocab_size == (1024 if name in ("magvit1", "vq-vae-3d") else 2**18)
    strides = {
        "video-low-rate": (4, 16, 16),
        "image-128": (1, 8, 8),
        "image-256": (1, 16, 16),
        "image-512": (1, 32, 32),
    }
    assert tokenizer.space.strides == strides.get(name, (4, 8, 8))


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'huge': expected one of video-128, video-128-base"):
        tokenizer_preset("huge")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_bits": 0}, "num_bits = 0: expected 1 to 40"),
        ({"num_bits": 41}, "num_bits = 41: expected 1 to 40"),
        ({"base_channels": 0}, "1 or more"),
        ({"channel_multipliers": (1, 0, 2)}, "1 or more"),
        ({"patch_size": 0}, "1 or more"),
        ({"num_mid_blocks": -1}, "1 or more"),
        ({"num_encoder_blocks": 0}, "1 or more"),
        ({"temporal_downsample": (True,)}, "has 1 entries: expected 2"),
        ({"is_image": True}, "cannot downsample time"),
        ({"downsample_kernel": 1}, "expected 2 or more"),
        ({"norm": "clip"}, "give the model a window of frames"),
        ({"resampling": "plain"}, "give the model a window of frames"),
        ({"window": 6}, "window = 6: expected a multiple of 4"),
        ({"window": 0}, "window = 0: expected a multiple of 4"),
        ({"is_image": True, "temporal_downsample": (False, False), "window": 4}, "in a video model"),
    ],
)
def test_a_configuration_that_no_model_can_have_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(OURS, **changes)


def test_no_step_of_the_way_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for config in (PAPER_LIKE, OURS, IMAGES):
            tokenizer = random_tokenizer(config)
            tokenizer.decode(tokenizer.encode(random_clips(1, 2, 9, 9)), size=(2, 9, 9))


def test_a_haar_model_is_read_back_as_it_was_saved(tmp_path: Path, generator: torch.Generator) -> None:
    config = dataclasses.replace(tokenizer_preset("tiny"), stem="haar")
    tokenizer = Tokenizer(config).eval()
    clips = torch.rand(1, 3, 5, 16, 16, generator=generator) * 2 - 1
    tokenizer.save_pretrained(tmp_path / "haar")
    found = Tokenizer.from_pretrained(tmp_path / "haar")
    ids = tokenizer.encode(clips)
    assert torch.equal(found.encode(clips), ids)
    assert torch.equal(found.decode(ids), tokenizer.decode(ids))
