"""However a clip is cut or batched, its ids and frames are the same, bit for bit; whole clips in training are close."""

from collections.abc import Iterable, Iterator

import pytest
import torch
from torch import Tensor

from magvit2.geometry import chunk_lengths
from magvit2.layers.memory import Memory
from magvit2.tokenizer import Tokenizer, TokenizerConfig
from tests.tokenizer.making import ALL_CONFIGS, VIDEO_CONFIGS, random_clips, random_ids, random_tokenizer


def chunked_latents(tokenizer: Tokenizer, clips: Tensor) -> Tensor:
    memory = Memory()
    chunks = clips.split(chunk_lengths(clips.shape[2], 4), dim=2)
    latents = torch.cat([tokenizer.encoder(chunk, memory) for chunk in chunks], dim=2)
    return tokenizer.quantizer(latents.permute(0, 2, 3, 4, 1)).latents


every = pytest.mark.parametrize("config", ALL_CONFIGS.values(), ids=ALL_CONFIGS)
videos = pytest.mark.parametrize("config", VIDEO_CONFIGS.values(), ids=VIDEO_CONFIGS)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])


@every
@dtypes
def test_an_image_has_the_ids_and_pixels_of_a_clip_s_first_frame(config: TokenizerConfig, dtype: torch.dtype) -> None:
    tokenizer, clips = random_tokenizer(config, dtype), random_clips(1, 9, 24, 40)
    ids, image = tokenizer.encode(clips), tokenizer.encode(clips[:, :, :1])
    assert torch.equal(image, ids[:, :1])
    assert torch.equal(tokenizer.decode(image), tokenizer.decode(ids)[:, :, :1])


@every
@dtypes
def test_a_batch_has_the_ids_and_pixels_of_its_members(config: TokenizerConfig, dtype: torch.dtype) -> None:
    tokenizer, clips = random_tokenizer(config, dtype), random_clips(3, 5, 20, 24)
    ids = tokenizer.encode(clips)
    assert torch.equal(ids, torch.cat([tokenizer.encode(clip[None]) for clip in clips]))
    assert torch.equal(tokenizer.decode(ids), torch.cat([tokenizer.decode(clip[None]) for clip in ids]))


@every
@dtypes
def test_a_clip_s_beginning_has_the_ids_of_the_beginning(config: TokenizerConfig, dtype: torch.dtype) -> None:
    tokenizer, clips = random_tokenizer(config, dtype), random_clips(1, 9, 16, 16)
    ids = tokenizer.encode(clips)
    decoded = tokenizer.decode(ids)
    for num_frames in (1, 5):
        beginning = tokenizer.encode(clips[:, :, :num_frames])
        assert torch.equal(beginning, ids[:, : beginning.shape[1]])
        assert torch.equal(tokenizer.decode(beginning), decoded[:, :, :num_frames])


@every
def test_layout_in_memory_makes_no_difference(config: TokenizerConfig) -> None:
    tokenizer, clips = random_tokenizer(config), random_clips(2, 5, 16, 24)
    other = clips.to(memory_format=torch.channels_last_3d)
    transposed = clips.transpose(3, 4).contiguous().transpose(3, 4)
    ids = tokenizer.encode(clips)
    assert torch.equal(tokenizer.encode(other), ids) and torch.equal(tokenizer.encode(transposed), ids)


@videos
@pytest.mark.parametrize("num_frames", [1, 5, 9, 13, 17])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-4)], ids=["fp64", "fp32"])
def test_canonical_chunks_equal_the_whole_clip(
    config: TokenizerConfig, num_frames: int, dtype: torch.dtype, tolerance: float
) -> None:
    """In training a clip is computed whole, in use chunk by chunk: latents, ids and frames are the same function."""
    tokenizer, clips = random_tokenizer(config, dtype), random_clips(2, num_frames, 16, 24, dtype=dtype)
    with torch.no_grad():
        whole = tokenizer(clips)
        latents = chunked_latents(tokenizer, clips)
    torch.testing.assert_close(latents, whole.quantized.latents, atol=tolerance, rtol=0)
    is_clear = whole.quantized.latents.abs().amin(dim=-1) > tolerance
    assert (
        torch.equal(tokenizer.encode(clips)[is_clear], whole.quantized.ids[is_clear]) and is_clear.float().mean() > 0.9
    )
    decoded = tokenizer.decode(whole.quantized.ids)
    expected = whole.clips.float().clamp(-1, 1)
    torch.testing.assert_close(decoded, expected, atol=max(tolerance, 1e-6), rtol=0)


@every
@dtypes
def test_streamed_ids_and_frames_equal_one_shot(config: TokenizerConfig, dtype: torch.dtype) -> None:
    tokenizer = random_tokenizer(config, dtype)
    for num_frames in (1, 2, 6, 9):
        clips = random_clips(1, num_frames, 15, 20)
        ids = tokenizer.encode(clips)
        chunks = list(tokenizer.encode_stream(clips[0].unbind(dim=1)))
        assert torch.equal(torch.cat(chunks), ids[0])
        size = (num_frames, 15, 20)
        frames = list(tokenizer.decode_stream(chunks, size=size))
        assert torch.equal(torch.stack(frames, dim=1), tokenizer.decode(ids, size=size)[0])


@videos
def test_any_cut_of_the_ids_decodes_to_the_same_frames(config: TokenizerConfig) -> None:
    tokenizer = random_tokenizer(config)
    ids = random_ids(tokenizer, 1, 5, 2, 3)
    for cut in ([5], [1, 4], [3, 2], [1] * 5):
        frames = torch.stack(list(tokenizer.decode_stream(ids[0].split(cut))), dim=1)
        assert torch.equal(frames, tokenizer.decode(ids)[0])


def test_streams_keep_up_with_their_input() -> None:
    """Ids come as soon as their frames are there, and frames as soon as their ids are: nothing waits for the end."""
    tokenizer, clips = random_tokenizer(VIDEO_CONFIGS["ours"]), random_clips(1, 9, 8, 8)
    taken: list[Tensor] = []

    def noted(parts: Iterable[Tensor]) -> Iterator[Tensor]:
        for part in parts:
            taken.append(part)
            yield part

    chunks = tokenizer.encode_stream(noted(clips[0].unbind(dim=1)))
    assert [(len(chunk), len(taken)) for chunk in chunks] == [(1, 1), (1, 5), (1, 9)]
    taken.clear()
    frames = tokenizer.decode_stream(noted(tokenizer.encode(clips)[0].split(1)))
    assert [len(taken) for _ in frames] == [1] + [2] * 4 + [3] * 4
