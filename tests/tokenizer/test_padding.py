"""Any number of frames, rows and columns from 1: padded by its last frame, row and column, and cut back to size."""

import pytest
import torch
from torch import Tensor

from magvit2.errors import InputError
from magvit2.geometry import Size, grid_for, size_for
from magvit2.tokenizer import TokenizerConfig
from magvit2.tokenizer.model import pad_to
from tests.tokenizer.making import ALL_CONFIGS, OURS, random_clips, random_tokenizer

SIZES = [(1, 1, 1), (1, 8, 8), (2, 3, 5), (3, 9, 16), (4, 1, 17), (5, 13, 7), (6, 8, 8), (8, 11, 1), (9, 16, 24)]


def replicated(clips: Tensor, size: Size) -> Tensor:
    """The clip continued by its last frame, row and column, index by index."""
    for axis, length in zip((2, 3, 4), size, strict=True):
        clips = clips.index_select(axis, torch.arange(length).clamp(max=clips.shape[axis] - 1))
    return clips


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("config", ALL_CONFIGS.values(), ids=ALL_CONFIGS)
def test_any_size_encodes_to_its_grid_and_decodes_to_itself(config: TokenizerConfig, size: Size) -> None:
    tokenizer, clips = random_tokenizer(config), random_clips(1, *size)
    ids = tokenizer.encode(clips)
    grid = grid_for(size, config.strides)
    assert ids.shape == (1, *grid) and ids.dtype == torch.int64
    full = size_for(grid, config.strides)
    assert torch.equal(ids, tokenizer.encode(replicated(clips, full)))
    decoded = tokenizer.decode(ids)
    assert decoded.shape == (1, 3, *full)
    cropped = tokenizer.decode(ids, size=size)
    assert cropped.shape == clips.shape
    assert torch.equal(cropped, decoded[:, :, : size[0], : size[1], : size[2]])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_clips_of_any_float_type_can_be_padded(dtype: torch.dtype) -> None:
    clips = random_clips(1, 2, 3, 5).to(dtype)
    assert torch.equal(pad_to(clips, (5, 8, 8)), replicated(clips, (5, 8, 8)))
    assert random_tokenizer(OURS).encode(clips).shape == (1, 2, 1, 1)


@pytest.mark.parametrize("size", [(5, 8, 8), (10, 8, 8), (9, 17, 8), (9, 8, 0), (0, 8, 8)], ids=str)
def test_a_size_that_the_ids_cannot_have_is_refused(size: Size) -> None:
    tokenizer = random_tokenizer(OURS)
    with pytest.raises(InputError, match="size"):
        tokenizer.decode(torch.zeros(1, 3, 1, 1, dtype=torch.int64), size=size)
