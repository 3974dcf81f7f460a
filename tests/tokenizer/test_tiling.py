"""Tiles: the same ids and frames as in one piece where norms are per position, weights that sum to 1 everywhere."""

import dataclasses
import itertools
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from magvit2.errors import InputError
from magvit2.geometry import Size
from magvit2.layers.memory import Memory
from magvit2.tokenizer import Tokenizer, TokenizerConfig
from magvit2.tokenizer.reach import Span, decoder_halo, encoder_halo
from magvit2.tokenizer.tiling import Tiles, cut, decoder_tiles, encoder_tiles
from tests.tokenizer.making import OURS, PAPER_LIKE, random_clips, random_ids, random_tokenizer

EXACT = {
    "ours": OURS,
    "wide kernels, no patches": dataclasses.replace(
        OURS, patch_size=1, kernel_size=5, upsample_kernel=3, downsample_kernel=3, temporal_downsample=(False, True)
    ),
    "images": dataclasses.replace(OURS, is_image=True, temporal_downsample=(False, False)),
    "windows": dataclasses.replace(OURS, window=8, resampling="plain", upsample_kernel=3, adaptive_norm=False),
    "fsq": dataclasses.replace(OURS, quantizer="fsq", levels=(8, 5, 5)),
}
BLENDED = {
    "per frame": PAPER_LIKE,
    "per window": dataclasses.replace(PAPER_LIKE, window=8, norm="clip", resampling="plain", adaptive_norm=False),
}
exact = pytest.mark.parametrize("config", EXACT.values(), ids=EXACT)
blended = pytest.mark.parametrize("config", BLENDED.values(), ids=BLENDED)
TILES = [16, 40, 200]
SIZES = [(1, 60, 68), (6, 41, 8)]


def latents_and_clips(tokenizer: Tokenizer, size: Size, tile: int | None) -> tuple[Tensor, Tensor]:
    """Latents of noise, and noise decoded, each of whole clips in the tokenizer's own type, not rounded."""
    config = tokenizer.config
    grid = config.space.grid_for(size)
    clips = random_clips(1, *config.space.size_for(grid), dtype=tokenizer.dtype)
    codes = torch.randn(
        1, config.num_channels, *grid, dtype=tokenizer.dtype, generator=torch.Generator().manual_seed(0)
    )
    group = config.window or clips.shape[2]
    with torch.no_grad():
        latents = encoder_tiles(config, grid, tile).map(clips, itertools.repeat(in_windows(tokenizer.encoder, group)))
        group = -(-group // config.strides[0])
        decoded = decoder_tiles(config, grid, tile).map(codes, itertools.repeat(in_windows(tokenizer.decoder, group)))
    return latents, decoded


def in_windows(network: nn.Module, length: int) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.cat([network(window) for window in x.split(length, dim=2)], dim=2)


@exact
@pytest.mark.parametrize("tile", TILES)
def test_tiles_make_the_latents_and_pixels_of_the_whole_frame(config: TokenizerConfig, tile: int) -> None:
    """In float64 to 1e-12: what is left is the order of sums."""
    tokenizer = random_tokenizer(config, torch.float64)
    for size in SIZES:
        for tiled, whole in zip(*(latents_and_clips(tokenizer, size, side) for side in (tile, None)), strict=True):
            assert (tiled - whole).abs().max() <= 1e-12


def test_tiles_may_be_as_small_as_one_latent() -> None:
    tokenizer = random_tokenizer(OURS, torch.float64)
    for tiled, whole in zip(*(latents_and_clips(tokenizer, (5, 28, 36), side) for side in (8, None)), strict=True):
        assert (tiled - whole).abs().max() <= 1e-12


@exact
def test_a_halo_of_one_latent_less_is_not_enough(config: TokenizerConfig) -> None:
    tokenizer, grid = random_tokenizer(config, torch.float64), (1, 40, 1)
    codes = torch.randn(1, config.num_channels, *grid, dtype=torch.float64)
    clips = random_clips(1, *config.space.size_for(grid), dtype=torch.float64)
    cases = [
        (tokenizer.encoder, clips, encoder_halo(config)[0], config.strides[1], 1),
        (tokenizer.decoder, codes, decoder_halo(config)[0], 1, config.strides[1]),
    ]
    for network, x, (before, behind), reads, makes in cases:
        assert before is not None and behind is not None
        with torch.no_grad():
            whole = network(x)
            for span in (Span(before - 1, behind), Span(before, behind - 1)):
                rows, columns = (cut(length, 2, span, reads, makes) for length in (40, 1))
                assert (Tiles(rows, columns).map(x, itertools.repeat(network)) - whole).abs().max() > 1e-9


@exact
@pytest.mark.parametrize("tile", [24, 64])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_tiles_give_the_ids_and_frames_of_the_whole_frame(config: TokenizerConfig, tile: int, size: Size) -> None:
    """In float32: convolutions of another shape may add in another order, so pixels are equal to rounding."""
    tokenizer, clips = random_tokenizer(config), random_clips(2, *size)
    ids = tokenizer.encode(clips)
    assert torch.equal(tokenizer.encode(clips, tile=tile), ids)
    frames = tokenizer.decode(ids, size=size)
    torch.testing.assert_close(tokenizer.decode(ids, size=size, tile=tile), frames, atol=1e-5, rtol=0)


@exact
@pytest.mark.parametrize("tile", [None, 40])
@pytest.mark.parametrize("num_frames", [1, 2, 9])
def test_tiled_streams_equal_tiled_clips_bit_for_bit(
    config: TokenizerConfig, tile: int | None, num_frames: int
) -> None:
    tokenizer, size = random_tokenizer(config), (num_frames, 44, 60)
    clips = random_clips(1, *size)
    ids = tokenizer.encode(clips, tile=tile)
    chunks = list(tokenizer.encode_stream(clips[0].unbind(dim=1), tile=tile))
    assert torch.equal(torch.cat(chunks), ids[0])
    frames = list(tokenizer.decode_stream(chunks, size=size, tile=tile))
    assert torch.equal(torch.stack(frames, dim=1), tokenizer.decode(ids, size=size, tile=tile)[0])


@blended
@pytest.mark.parametrize("tile", [16, 40])
def test_blended_streams_equal_blended_clips_bit_for_bit(config: TokenizerConfig, tile: int) -> None:
    tokenizer, size = random_tokenizer(config), (9, 50, 75)
    clips = random_clips(1, *size)
    ids = tokenizer.encode(clips, tile=tile)
    chunks = list(tokenizer.encode_stream(clips[0].unbind(dim=1), tile=tile))
    assert torch.equal(torch.cat(chunks), ids[0])
    frames = list(tokenizer.decode_stream(chunks, size=size, tile=tile))
    assert torch.equal(torch.stack(frames, dim=1), tokenizer.decode(ids, size=size, tile=tile)[0])


@pytest.mark.parametrize("config", (EXACT | BLENDED).values(), ids=EXACT | BLENDED)
def test_one_tile_that_holds_the_frame_is_the_frame(config: TokenizerConfig) -> None:
    tokenizer, clips = random_tokenizer(config), random_clips(1, 5, 30, 44)
    ids = tokenizer.encode(clips)
    assert torch.equal(tokenizer.encode(clips, tile=48), ids)
    assert torch.equal(tokenizer.decode(ids, tile=48), tokenizer.decode(ids))


@blended
def test_tiles_of_models_that_see_the_whole_frame_are_near_it_and_not_equal(config: TokenizerConfig) -> None:
    tokenizer, size = random_tokenizer(config), (1, 128, 192)
    x = torch.linspace(-1, 1, 192).expand(1, 3, 1, 128, 192) * torch.linspace(-1, 1, 128)[:, None]
    ids = tokenizer.encode(x)
    whole, tiled = (tokenizer.decode(ids, size=size, tile=tile) for tile in (None, 64))
    assert 0 < (whole - tiled).abs().mean() < 0.5
    assert tokenizer.encode(x, tile=64).shape == ids.shape


@pytest.mark.parametrize("halo", [Span(2, 3), Span(None, None)], ids=["exact", "blended"])
@pytest.mark.parametrize(("reads", "makes"), [(8, 1), (1, 8), (1, 1)])
def test_weights_sum_to_one_at_every_place(halo: Span, reads: int, makes: int) -> None:
    for length, side in itertools.product((1, 2, 5, 16, 17, 31), (1, 2, 3, 8, 16, 40)):
        total = torch.zeros(length * makes, dtype=torch.float64)
        for piece in cut(length, side, halo, reads, makes):
            total[piece.place] += piece.weights
            assert piece.weights.min() >= 0
            assert piece.makes.stop - piece.makes.start == piece.place.stop - piece.place.start == len(piece.weights)
            assert 0 <= piece.reads.start < piece.reads.stop <= length * reads
            assert piece.makes.stop * reads <= (piece.reads.stop - piece.reads.start) * makes
        torch.testing.assert_close(total, torch.ones_like(total), atol=1e-15, rtol=0)


def test_tiles_of_constants_blend_along_straight_lines() -> None:
    """Two tiles of one axis that make 0 and 1: in between, the frame rises in equal steps."""
    rows, columns = cut(1, 1, Span(0, 0), 1, 1), cut(32, 16, Span(None, None), 1, 1)
    made = iter([0.0, 1.0])
    networks = itertools.repeat(lambda x: torch.full_like(x, next(made)))
    line = Tiles(rows, columns).map(torch.zeros(1, 1, 1, 1, 32), networks).flatten()
    assert line[:14].eq(0).all() and line[18:].eq(1).all()  # 16 +- an eighth of 16
    torch.testing.assert_close(line[14:18], torch.tensor([0.125, 0.375, 0.625, 0.875]))


@pytest.mark.parametrize("tile", [0, -8, 1, 12, 100])
def test_a_tile_that_does_not_fill_latents_is_refused(tile: int) -> None:
    tokenizer = random_tokenizer(OURS)
    clips, ids = random_clips(1, 1, 16, 16), random_ids(tokenizer, 1, 1, 2, 2)
    calls: list[Callable[[], object]] = [
        lambda: tokenizer.encode(clips, tile=tile),
        lambda: tokenizer.decode(ids, tile=tile),
        lambda: list(tokenizer.encode_stream(clips[0].unbind(dim=1), tile=tile)),
        lambda: list(tokenizer.decode_stream([ids[0]], tile=tile)),
    ]
    for call in calls:
        with pytest.raises(InputError, match=f"tile = {tile}: expected a multiple of 8 pixels"):
            call()


def test_fewer_bits_and_tiles_go_together() -> None:
    tokenizer = random_tokenizer(OURS)
    ids = random_ids(tokenizer, 1, 2, 5, 5)
    whole, tiled = (tokenizer.decode(ids, num_bits=3, tile=tile) for tile in (None, 16))
    torch.testing.assert_close(tiled, whole, atol=1e-5, rtol=0)


def test_clips_go_tile_by_tile_and_streams_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip needs the memories of one tile at a time, a stream those of all its tiles, an image none."""
    tokenizer, clips = random_tokenizer(OURS), random_clips(1, 9, 32, 32)
    alive: weakref.WeakSet[Memory] = weakref.WeakSet()
    counts: list[int] = []

    class Watched(Memory):
        def __init__(self) -> None:
            super().__init__()
            alive.add(self)

        def put(self, layer: nn.Module, tail: Tensor) -> None:
            super().put(layer, tail)
            counts.append(len(alive))

    monkeypatch.setattr("magvit2.tokenizer.model.Memory", Watched)
    tokenizer.decode(tokenizer.encode(clips, tile=16), tile=16)
    assert set(counts) == {1}
    counts.clear()
    list(tokenizer.encode_stream(clips[0].unbind(dim=1), tile=16))
    assert set(counts) == {4}
    counts.clear()
    tokenizer.decode(tokenizer.encode(clips[:, :, :1], tile=16), tile=16)
    assert not counts
