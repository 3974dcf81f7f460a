"""How far the networks look, by brute force: which inputs one output depends on, and where decoding may begin."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from magvit2.geometry import Size
from magvit2.tokenizer import Tokenizer, TokenizerConfig, tokenizer_preset
from magvit2.tokenizer.reach import Span, decoder_reach, encoder_reach, latency_frames, pre_roll
from tests.tokenizer.making import IMAGES, OURS, PAPER_LIKE, random_clips, random_ids, random_tokenizer

CONFIGS = {
    "ours": OURS,
    "no patches": dataclasses.replace(OURS, patch_size=1),
    "patches of 3": dataclasses.replace(OURS, patch_size=3, channel_multipliers=(1, 2), temporal_downsample=(True,)),
    "time halved late": dataclasses.replace(OURS, temporal_downsample=(False, True)),
    "time halved early": dataclasses.replace(OURS, temporal_downsample=(True, False)),
    "time whole": dataclasses.replace(OURS, temporal_downsample=(False, False)),
    "one resolution": dataclasses.replace(OURS, channel_multipliers=(2,), temporal_downsample=()),
    "more blocks": dataclasses.replace(OURS, num_encoder_blocks=2, num_decoder_blocks=3, num_mid_blocks=1),
    "wide kernels": dataclasses.replace(OURS, kernel_size=5, upsample_kernel=3, downsample_kernel=3),
    "even kernels": dataclasses.replace(OURS, kernel_size=2, upsample_kernel=2, downsample_kernel=2),
    "points": dataclasses.replace(OURS, kernel_size=1, downsample_kernel=2),
    "images": dataclasses.replace(IMAGES, norm="position"),
    "window": dataclasses.replace(OURS, window=16),
    "short window": dataclasses.replace(OURS, window=8, upsample_kernel=3),
    "plain window": dataclasses.replace(OURS, window=32, resampling="plain", upsample_kernel=3, adaptive_norm=False),
}
every = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
LENGTH = 37  # latent positions: more than the widest of these looks over
MIDDLE = LENGTH // 2


def depends(network: nn.Module, x: Tensor, outputs: tuple[slice, slice, slice], axis: int) -> list[int]:
    """The input positions along `axis` that change the `outputs` of a network: those with any gradient at all."""
    x.requires_grad_()
    y = network(x)[(..., *outputs)]
    (gradient,) = torch.autograd.grad((y * torch.rand_like(y)).sum(), x)
    others = [other for other in range(x.ndim) if other != axis + 2]
    return torch.nonzero(gradient.abs().sum(dim=others)).flatten().tolist()


def grid_along(axis: int, length: int) -> Size:
    """A latent grid of one position, but for `length` along one axis."""
    t, h, w = (length if axis == other else 1 for other in range(3))
    return t, h, w


def covered(config: TokenizerConfig, axis: int, position: int) -> slice:
    """The frames, rows or columns of pixels that a latent position covers."""
    stride = config.strides[axis]
    start = position * stride - (stride - 1 if axis == 0 and config.is_causal else 0)
    return slice(max(0, start), start + stride)


def block(config: TokenizerConfig, axis: int, position: int) -> tuple[slice, slice, slice]:
    whole = [slice(None)] * 3
    whole[axis] = covered(config, axis, position)
    return whole[0], whole[1], whole[2]


def latents_along(config: TokenizerConfig, axis: int) -> tuple[int, int]:
    """How many latents to look at along an axis, and the one in their midst: in time one window, if there are any."""
    if axis == 0 and config.window is not None:
        num_latents = config.window // config.strides[0]
        return num_latents, num_latents // 2
    return LENGTH, MIDDLE


@every
@pytest.mark.parametrize("axis", [1, 2], ids=["rows", "columns"])
def test_the_encoder_sees_so_far_in_space_and_no_further(config: TokenizerConfig, axis: int) -> None:
    encoder = random_tokenizer(config, torch.float64).encoder
    size = config.space.size_for(grid_along(axis, LENGTH))
    latent = [slice(None)] * 3
    latent[axis] = slice(MIDDLE, MIDDLE + 1)
    seen = depends(encoder, random_clips(1, *size, dtype=torch.float64), (latent[0], latent[1], latent[2]), axis)
    own, span = covered(config, axis, MIDDLE), encoder_reach(config)[axis]
    assert span == Span(own.start - seen[0], seen[-1] - (own.stop - 1))
    assert seen == list(range(seen[0], seen[-1] + 1))
    assert seen[0] > 0 and seen[-1] < size[axis] - 1  # and not because there was no more


@every
@pytest.mark.parametrize("axis", [1, 2], ids=["rows", "columns"])
def test_decoded_pixels_depend_on_so_many_latents_in_space_and_no_more(config: TokenizerConfig, axis: int) -> None:
    decoder = random_tokenizer(config, torch.float64).decoder
    codes = torch.randn(1, config.num_channels, *grid_along(axis, LENGTH), dtype=torch.float64)
    seen = depends(decoder, codes, block(config, axis, MIDDLE), axis)
    assert decoder_reach(config)[axis] == Span(MIDDLE - seen[0], seen[-1] - MIDDLE)
    assert seen == list(range(seen[0], seen[-1] + 1))
    assert seen[0] > 0 and seen[-1] < LENGTH - 1


@every
def test_the_encoder_sees_so_many_frames_and_no_more(config: TokenizerConfig) -> None:
    encoder = random_tokenizer(config, torch.float64).encoder
    num_latents, _ = latents_along(config, 0)
    clips = random_clips(1, *config.space.size_for((num_latents, 1, 1)), dtype=torch.float64)
    spans = []
    for latent in range(num_latents):
        seen = depends(encoder, clips.clone(), (slice(latent, latent + 1), slice(None), slice(None)), 0)
        own = covered(config, 0, latent)
        spans.append(Span(own.start - seen[0], seen[-1] - (own.stop - 1)))
    assert encoder_reach(config).time == Span(
        max(span.before or 0 for span in spans), max(span.behind or 0 for span in spans)
    )


@every
def test_decoded_frames_depend_on_so_many_latent_frames_and_no_more(config: TokenizerConfig) -> None:
    decoder = random_tokenizer(config, torch.float64).decoder
    num_latents, _ = latents_along(config, 0)
    codes = torch.randn(1, config.num_channels, num_latents, 1, 1, dtype=torch.float64)
    spans = []
    for latent in range(num_latents):
        seen = depends(decoder, codes.clone(), block(config, 0, latent), 0)
        spans.append(Span(latent - seen[0], seen[-1] - latent))
    assert decoder_reach(config).time == Span(
        max(span.before or 0 for span in spans), max(span.behind or 0 for span in spans)
    )


@every
def test_the_pre_roll_makes_a_frame_exact_and_one_latent_less_does_not(config: TokenizerConfig) -> None:
    """In float64 within 1e-9 of the whole clip's frame; a shorter pre-roll is wrong in some frame of the latent."""
    tokenizer, roll = random_tokenizer(config, torch.float64), pre_roll(config)
    group = (config.window or 0) // config.strides[0] or 1
    wanted = -(-(roll + 2) // group) * group  # windows begin where windows begin
    codes = torch.randn(1, config.num_channels, wanted + group, 2, 2, dtype=torch.float64)

    def gap(start: int) -> float:
        with torch.no_grad():
            whole, late = (decode_in_groups(tokenizer, part, group) for part in (codes, codes[:, :, start:]))
        return float((whole[:, :, -last:] - late[:, :, -last:]).abs().max()) if late.shape[2] >= last else torch.inf

    last = group * config.strides[0]
    assert gap(wanted - roll) <= 1e-9
    if roll:
        assert gap(wanted - roll + 1) > 1e-9


def decode_in_groups(tokenizer: Tokenizer, codes: Tensor, group: int) -> Tensor:
    """Unclamped clips, window by window; of a causal model in one go."""
    if tokenizer.config.is_causal:
        return tokenizer.decoder(codes)
    return torch.cat([tokenizer.decoder(window) for window in codes.split(group, dim=2)], dim=2)


@pytest.mark.parametrize("name", ["ours", "time halved early"])
def test_decoding_may_begin_a_pre_roll_early_bit_for_bit(name: str) -> None:
    config = CONFIGS[name]
    tokenizer, roll = random_tokenizer(config), pre_roll(config)
    ids = random_ids(tokenizer, 1, roll + 3, 2, 3)
    stride = config.strides[0]
    assert torch.equal(tokenizer.decode(ids[:, 2:])[:, :, -stride:], tokenizer.decode(ids)[:, :, -stride:])
    assert not torch.equal(tokenizer.decode(ids[:, 3:])[:, :, -stride:], tokenizer.decode(ids)[:, :, -stride:])


def test_a_single_changed_pixel_changes_the_latents_that_see_it_and_no_others() -> None:
    """Not by gradients: pixels that differ, and latents that do or do not."""
    config = dataclasses.replace(OURS, kernel_size=2, channel_multipliers=(1, 2), temporal_downsample=(True,))
    encoder, (span, _) = random_tokenizer(config, torch.float64).encoder, encoder_reach(config)[1:]
    assert span.before is not None and span.behind is not None
    stride, num_latents = config.strides[1], 9
    clips = random_clips(1, 1, num_latents * stride, 8, dtype=torch.float64)
    with torch.no_grad():
        before = encoder(clips)
        for row in range(clips.shape[3]):
            changed = clips.clone()
            changed[:, :, :, row, 3] *= -1
            differs = (encoder(changed) != before).any(dim=4).any(dim=2).any(dim=1)[0].tolist()
            sees = [u * stride - span.before <= row < (u + 1) * stride + span.behind for u in range(num_latents)]
            assert differs == sees


@pytest.mark.parametrize("norm", ["frame", "clip"])
def test_statistics_of_a_frame_see_all_of_it(norm: str) -> None:
    """GroupNorm's reach in space has no bound; per frame, its reach in time is that of the convolutions."""
    changes = {"norm": norm, "window": 16 if norm == "clip" else None}
    config = dataclasses.replace(OURS, **changes)
    everywhere = Span(None, None)
    for reach in (encoder_reach(config), decoder_reach(config)):
        assert reach.rows == reach.columns == everywhere
    network = random_tokenizer(config, torch.float64).encoder
    seen = depends(
        network,
        random_clips(1, *config.space.size_for((1, LENGTH, 1)), dtype=torch.float64),
        (slice(None), slice(MIDDLE, MIDDLE + 1), slice(None)),
        1,
    )
    assert seen == list(range(LENGTH * 8))
    if norm == "frame":
        assert encoder_reach(config).time == encoder_reach(OURS).time
        assert pre_roll(config) == pre_roll(OURS)
    else:
        assert encoder_reach(config).time == Span(12, 12) and decoder_reach(config).time == Span(3, 3)


def test_latency_is_one_latent_s_frames_or_one_window() -> None:
    assert latency_frames(OURS) == 4
    assert latency_frames(PAPER_LIKE) == 4
    assert latency_frames(IMAGES) == 1
    assert latency_frames(CONFIGS["window"]) == 16


def test_the_presets_look_as_far_as_counted_by_hand() -> None:
    """Small: in latents of 8 pixels, stem 1, two blocks of 2 each; at half that 2, at a quarter 2 and the head's 1."""
    small = tokenizer_preset("small")
    assert decoder_reach(small).rows == Span(7, 7)  # 5 + 2/2 + 3/4, rounded up
    # At 1/2: stem 1 and block 2; its 4-kernel 1; at 1/4: block 2, 4-kernel 1; at 1/8: two blocks of 2.
    assert encoder_reach(small).rows.before == 2 * 3 + 2 * 1 + 4 * 2 + 4 * 1 + 8 * 4
    assert encoder_reach(small).time.behind == 0
