"""The contact sheet: which frames it shows, where everything stands, and how ids become colours."""

import numpy as np
import pytest
import torch

from magvit2.pipelines import FramePair
from magvit2.recipes.contact_sheet import contact_sheet, pick_frames, token_picture
from magvit2.tokens import Tokens, TokenSpace

SPACE = TokenSpace((2,) * 6, (4, 8, 8))
GAP = 4


def tokens_of(num_frames: int, height: int = 16, width: int = 24, space: TokenSpace = SPACE) -> Tokens:
    """Every latent frame has one id everywhere: its number."""
    grid = 1 + -(-(num_frames - 1) // 4), -(-height // 8), -(-width // 8)
    ids = torch.arange(grid[0])[:, None, None].expand(grid).contiguous()
    return Tokens(ids, space, (num_frames, height, width), None, "0" * 16)


def pairs_of(tokens: Tokens) -> list[FramePair]:
    """Originals as bright as their number, reconstructions one level darker than white."""
    _, height, width = tokens.size
    return [
        FramePair(np.full((height, width, 3), index, np.uint8), np.full((height, width, 3), 254, np.uint8))
        for index in pick_frames(tokens)
    ]


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [(1, [0]), (2, [0, 1]), (6, [0, 1, 2, 3, 4, 5]), (11, [0, 2, 4, 6, 8, 10]), (50, [0, 10, 20, 29, 39, 49])],
)
def test_frames_are_spread_from_the_first_to_the_last(num_frames: int, expected: list[int]) -> None:
    assert pick_frames(tokens_of(num_frames)) == expected


@pytest.mark.parametrize("columns", [1, 2, 4])
def test_fewer_columns_can_be_asked_for(columns: int) -> None:
    assert len(pick_frames(tokens_of(50), columns)) == columns


def test_originals_stand_above_their_tokens_above_their_reconstructions() -> None:
    tokens = tokens_of(9)
    sheet = contact_sheet(pairs_of(tokens), tokens)
    assert sheet.shape == (3 * 16 + 2 * GAP, 6 * 24 + 5 * GAP, 3)
    for column, index in enumerate(pick_frames(tokens)):
        left = column * (24 + GAP)
        part = sheet[:, left : left + 24]
        assert (part[:16] == index).all()
        assert (part[16 : 16 + GAP] == 255).all()
        latent = -(-index // 4)  # frame 0 has its own latent frame, then four share one
        assert (part[20:36] == token_picture(tokens.ids[latent], SPACE)[0, 0]).all()
        assert (part[40:] == 254).all()
    assert (sheet[:, 24 : 24 + GAP] == 255).all()


def test_every_token_is_a_square_of_its_stride() -> None:
    ids = torch.arange(6).reshape(1, 2, 3) * 10
    tokens = Tokens(ids, SPACE, (1, 16, 24), None, "0" * 16)
    middle = contact_sheet(pairs_of(tokens), tokens)[20:36]
    colours = token_picture(ids[0], SPACE)
    for row in range(2):
        for column in range(3):
            square = middle[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            assert (square == colours[row, column]).all()


def test_tokens_beyond_the_border_are_cut_off() -> None:
    tokens = tokens_of(1, 13, 17)
    assert contact_sheet(pairs_of(tokens), tokens).shape == (3 * 13 + 2 * GAP, 17, 3)


def test_wide_frames_are_scaled_down_to_256_pixels() -> None:
    tokens = tokens_of(2, 100, 512)
    sheet = contact_sheet(pairs_of(tokens), tokens)
    assert sheet.shape == (3 * 50 + 2 * GAP, 2 * 256 + GAP, 3)


@pytest.mark.parametrize(
    ("identity", "colour"),
    [
        (0b000000, (0, 0, 0)),
        (0b111111, (255, 255, 255)),
        (0b000011, (255, 0, 0)),
        (0b001100, (0, 255, 0)),
        (0b110000, (0, 0, 255)),
        (0b000001, (85, 0, 0)),
        (0b100001, (85, 0, 170)),
    ],
)
def test_low_middle_and_high_bits_are_red_green_and_blue(identity: int, colour: tuple[int, int, int]) -> None:
    assert tuple(token_picture(torch.tensor([[identity]]), SPACE)[0, 0]) == colour


def test_every_id_of_a_small_space_has_a_colour_of_its_own() -> None:
    picture = token_picture(torch.arange(64).reshape(8, 8), SPACE)
    assert len({tuple(colour) for colour in picture.reshape(-1, 3).tolist()}) == 64


@pytest.mark.parametrize("radices", [(2,), (2, 2), (1024,), (8, 8, 8, 5, 5, 5), (2,) * 18])
def test_any_space_has_colours(radices: tuple[int, ...]) -> None:
    space = TokenSpace(radices, (4, 8, 8))
    picture = token_picture(torch.tensor([[0, space.vocab_size - 1]]), space)
    assert picture.shape == (1, 2, 3)
    assert (picture[0, 0] == 0).all()
    assert picture[0, 1].max() == 255
