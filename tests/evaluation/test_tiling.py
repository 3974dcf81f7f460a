"""Tiles against whole frames: nothing where tiles are exact, more near seams than elsewhere where they are blended."""

import math

import pytest
import torch
from torch import Tensor

from magvit2.evaluation.tiling import compare_tiles, near_seams
from magvit2.tokenizer import Tokenizer
from tests.tiny import EchoTokenizer, tiny_tokenizer
from tests.tokenizer.making import PAPER_LIKE, random_clips, random_tokenizer


class Tinted(EchoTokenizer):
    """Every id is 0; frames are grey, and brighter by 1 of 255 within 4 pixels of a seam when they come in tiles."""

    def encode(self, clips: Tensor, *, tile: int | None = None) -> Tensor:
        ids = torch.zeros(1, 1, 4, 8, dtype=torch.int64)
        ids[..., 0] = int(tile is not None)
        return ids

    def decode(
        self,
        ids: Tensor,
        size: tuple[int, int, int] | None = None,
        *,
        num_bits: int | None = None,
        tile: int | None = None,
    ) -> Tensor:
        frames = torch.zeros(1, 3, 1, 32, 64)
        if tile is not None:
            frames[..., 28:36] += 1 / 127.5
        return frames


def test_what_is_reported_is_what_was_changed() -> None:
    results = dict(compare_tiles(Tinted(), torch.zeros(1, 3, 1, 32, 64), 32))
    assert results["ids_different"] == 1 / 8
    assert results["psnr_db"] == results["decoder_psnr_db"] == pytest.approx(10 * math.log10(8 * 255**2))
    assert results["near_seams"] == pytest.approx(1)
    assert results["elsewhere"] == 0


def test_exact_tiles_differ_by_rounding_at_most() -> None:
    results = dict(compare_tiles(tiny_tokenizer(), random_clips(1, 5, 40, 64), 16))
    assert list(results) == ["ids_different", "psnr_db", "decoder_psnr_db", "near_seams", "elsewhere"]
    assert results["ids_different"] == 0
    assert min(results["psnr_db"], results["decoder_psnr_db"]) > 100
    assert max(results["near_seams"], results["elsewhere"]) < 1e-3


def test_one_tile_is_the_whole_frame() -> None:
    results = dict(compare_tiles(tiny_tokenizer(), random_clips(1, 1, 16, 24), 24))
    assert results["ids_different"] == results["elsewhere"] == 0
    assert results["psnr_db"] == math.inf
    assert math.isnan(results["near_seams"])


@pytest.mark.parametrize("tokenizer", [random_tokenizer(PAPER_LIKE)], ids=["per frame"])
def test_blended_tiles_differ_and_say_by_how_much(tokenizer: Tokenizer) -> None:
    results = dict(compare_tiles(tokenizer, random_clips(1, 1, 64, 64), 32))
    assert 0 < results["ids_different"] < 1
    assert results["psnr_db"] < results["decoder_psnr_db"] < 60
    assert results["elsewhere"] > 0


def test_seams_are_the_inner_borders_and_an_eighth_of_a_tile_around_them() -> None:
    near = near_seams(20, 40, 16)
    rows, columns = near[:, 8], near[8]
    assert torch.nonzero(rows).flatten().tolist() == [14, 15, 16, 17]
    assert torch.nonzero(columns).flatten().tolist() == [14, 15, 16, 17, 30, 31, 32, 33]
    assert not near_seams(16, 16, 16).any()
