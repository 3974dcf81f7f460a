"""Sprites: characters are layers over black, actions are the cells of the original set, splits follow from names."""

from pathlib import Path

import numpy as np
import pytest

from magvit2.data.sprites import LABELS, Character, choose_characters, compose, cut_action, load_art
from magvit2.errors import InputError, MediaError
from tests.data.sprites_making import CELL, numbered_sheet, plain_sheet, write_art, write_sheet

# What `printf 1-1-1-1 | sha256sum` prints. As 16, 256, ... all end in 6, a number modulo 10 follows from its digits.
SHA256 = {
    "1-1-1-1": ("9c8184eb03f0eb5dca2c921f6c5dba0ce96b027064d3ab99d36550e268b18914", 0, "val"),
    "1-0-0-0": ("a330d559929779b7501243be906ea92da1aa23cb58e51162c786efd3f8dbd8a7", 1, "test"),
    "6-6-6-6": ("2aa139ff55e7fc1972c4e8214ce7381326e01e059958274c5a42c4d24bec271f", 1, "test"),
    "0-0-0-3": ("11ba5ab47a736529fb3ccecd17ce85e08eff2011dd35cde7ded0ff66e8bf68a2", 2, "train"),
    "6-6-6-9": ("38f5f4154d18a9d4be0679efd8e378c962f88f867d1afcbfc3fe447c6827e173", 9, "train"),
}


@pytest.mark.parametrize("name", SHA256)
def test_a_character_s_split_is_the_sha_256_of_its_id_modulo_ten(name: str) -> None:
    digest, rest, split = SHA256[name]
    digits = [int(digit, 16) for digit in digest]
    assert (6 * sum(digits[:-1]) + digits[-1]) % 10 == rest
    character = Character(*name.split("-"))
    assert (character.id, character.split) == (name, split)


def test_upper_layers_hide_lower_ones_and_nothing_is_black() -> None:
    lower = np.array([[[200, 0, 0, 255], [200, 0, 0, 255], [9, 9, 9, 0], [9, 9, 9, 0]]], dtype=np.uint8)
    upper = np.array([[[0, 100, 0, 255], [8, 8, 8, 0], [0, 100, 0, 255], [8, 8, 8, 0]]], dtype=np.uint8)
    assert compose([lower, upper]).tolist() == [[[0, 100, 0], [200, 0, 0], [0, 100, 0], [0, 0, 0]]]
    assert compose([upper, lower]).tolist() == [[[200, 0, 0], [200, 0, 0], [0, 100, 0], [0, 0, 0]]]


def test_half_transparent_pixels_mix_with_what_is_below() -> None:
    layers = [np.array([[200, 100, 0, 255]], dtype=np.uint8), np.array([[0, 100, 255, 51]], dtype=np.uint8)]
    assert compose(layers).tolist() == [[160, 100, 51]]  # 51 of 255 are a fifth
    assert compose(layers[1:]).tolist() == [[0, 20, 51]]


@pytest.mark.parametrize(
    ("label", "row", "columns"),
    [
        ("spellcast-left", 1, [0, 1, 2, 3, 4, 5, 4, 6]),
        ("spellcast-front", 2, [0, 1, 2, 3, 4, 5, 4, 6]),
        ("walk-left", 9, [8, 1, 2, 3, 4, 5, 6, 7]),
        ("walk-right", 11, [8, 1, 2, 3, 4, 5, 6, 7]),
        ("slash-front", 14, [0, 1, 2, 3, 4, 5, 4, 0]),
        ("slash-right", 15, [0, 1, 2, 3, 4, 5, 4, 0]),
    ],
)
def test_an_action_is_the_cells_of_its_row_in_the_original_s_order(label: str, row: int, columns: list[int]) -> None:
    frames = cut_action(numbered_sheet(), label)
    assert frames.shape == (8, CELL, CELL, 4)
    assert all((frame == frame[0, 0]).all() for frame in frames)  # no pixel of a neighbour
    assert frames[:, 0, 0, :2].tolist() == [[row, column] for column in columns]


def test_more_frames_than_eight_begin_the_movement_again() -> None:
    frames = cut_action(numbered_sheet(), "walk-left", 10)
    assert frames[:, 0, 0, 1].tolist() == [8, 1, 2, 3, 4, 5, 6, 7, 8, 1]
    assert cut_action(numbered_sheet(), "walk-left", 5)[:, 0, 0, 1].tolist() == [8, 1, 2, 3, 4]


@pytest.mark.parametrize(("label", "num_frames"), [("walk-back", 8), ("walk-left", 0)])
def test_an_action_that_is_none_is_refused(label: str, num_frames: int) -> None:
    with pytest.raises(InputError, match=r"expected 1 or more of walk-front"):
        cut_action(numbered_sheet(), label, num_frames)


def test_layers_come_body_bottomwear_topwear_hair_shoes(tmp_path: Path) -> None:
    parts = ("body", "bottomwear", "topwear", "hair", "shoes")
    for red, part in enumerate(parts):
        write_sheet(tmp_path / part / "1.png", plain_sheet((red, 0, 0, 255)))
    write_sheet(tmp_path / "shoes" / "0.png", plain_sheet((99, 0, 0, 255)))
    art = load_art(tmp_path)
    assert [character.id for character in art.characters()] == ["1-1-1-1"]
    assert [layer[0, 0, 0] for layer in art.layers(art.characters()[0])] == [0, 1, 2, 3, 4]


def test_actions_of_cut_art_are_those_of_a_composed_sheet(tmp_path: Path) -> None:
    art = load_art(write_art(tmp_path, num_hairs=2))
    for character in art.characters():
        sheet = compose(art.layers(character))
        for label, frames in zip(LABELS, compose(art.cut().layers(character)), strict=True):
            np.testing.assert_array_equal(frames, cut_action(sheet, label))


def test_all_combinations_come_with_numbers_in_order(tmp_path: Path) -> None:
    art = load_art(write_art(tmp_path, num_hairs=11))
    assert [character.hair for character in art.characters()] == [str(number) for number in range(11)]


def test_fewer_characters_are_a_part_of_more_and_another_seed_takes_others() -> None:
    characters = [Character("0", "0", str(topwear), str(hair)) for topwear in range(10) for hair in range(10)]
    few, more = choose_characters(characters, 10), choose_characters(characters, 30)
    assert (len(few), len(more)) == (10, 30)
    assert set(few) < set(more)
    assert more == [character for character in characters if character in more]  # in their order
    assert set(choose_characters(characters, 10, seed=1)) != set(few)
    for count in (0, 101):
        with pytest.raises(InputError, match=f"{count} characters: expected 1 to 100"):
            choose_characters(characters, count)


def test_art_that_is_none_is_one_line_that_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder"):
        load_art(tmp_path / "nowhere")
    art = write_art(tmp_path / "art")
    (art / "shoes" / "1.png").unlink()
    with pytest.raises(InputError, match=r"shoes/1\.png: the sheet is missing"):
        load_art(art)
    (art / "hair" / "0.png").rename(art / "hair" / "a-b.png")
    with pytest.raises(InputError, match=r"a-b\.png: a hyphen in the name"):
        load_art(art)
    (art / "hair" / "a-b.png").unlink()
    with pytest.raises(InputError, match=r"hair: expected sheets 0\.png, 1\.png"):
        load_art(art)
    write_sheet(art / "topwear" / "0.png", plain_sheet((0, 0, 0, 0))[:64])
    with pytest.raises(InputError, match=r"topwear/0\.png: is 832x64; expected a sheet of 832x1344"):
        load_art(art)
    (art / "body" / "0.png").write_bytes(b"no picture")
    with pytest.raises(MediaError, match=r"body/0\.png: not an image"):
        load_art(art)


@pytest.mark.data
def test_real_characters_stand_on_black_with_their_hair_above_their_shoes(data_dir: Path) -> None:
    art = load_art(data_dir / "sprites_lpc")
    characters = art.characters()
    assert len({character.id for character in characters}) == 7 * 7 * 7 * 10
    clips = compose(art.cut().layers(characters[0]))
    assert clips.shape == (9, 8, 64, 64, 3)
    assert not clips[:, :, 0].any()  # nobody reaches the upper edge
    assert 0.1 < (clips.max(axis=-1) > 0).mean() < 0.3
    greens = clips[..., 1].astype(int) - clips[..., [0, 2]].max(axis=-1) > 60  # the colour of that hair alone
    rows = np.argwhere(greens)[:, 2]
    assert len(rows) > 9 * 8 * 50
    assert 8 <= rows.min() < rows.max() <= 40
    walk = dict(zip(LABELS, clips, strict=True))
    left, mirrored = walk["walk-left"].astype(int), walk["walk-right"][:, :, ::-1].astype(int)
    assert np.abs(left - mirrored).mean() < np.abs(left - walk["walk-right"]).mean()
