"""Token files: what goes in comes out, in the smallest integers that hold it; whatever is not one says so in a line."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from magvit2.data.tokens import is_token_file, load_tokens, save_tokens
from magvit2.errors import FormatError
from magvit2.tokens import Tokens, TokenSpace
from tests.video.making import names

LFQ = TokenSpace((2,) * 18, (4, 8, 8))
HEADER = {
    "version": 1,
    "size": [5, 17, 24],
    "fps": "30000/1001",
    "radices": [2] * 18,
    "strides": [4, 8, 8],
    "fingerprint": "0123456789abcdef",
    "is_causal": True,
}


def some_tokens(space: TokenSpace = LFQ, fps: Fraction | None = Fraction(30000, 1001)) -> Tokens:
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, space.vocab_size, (2, 3, 3)))
    ids[0, 0, 0], ids[-1, -1, -1] = 0, space.vocab_size - 1
    return Tokens(ids, space, (5, 17, 24), fps, "0123456789abcdef")


def write_by_hand(path: Path, ids: torch.Tensor | None = None, **header: Any) -> Path:
    """A token file as a stranger would write it from docs/formats.md."""
    values = torch.zeros(2, 3, 3, dtype=torch.int32) if ids is None else ids
    save_file({"ids": values}, path, {"magvit2-tokens": json.dumps(HEADER | header)})
    return path


@pytest.mark.parametrize("fps", [None, Fraction(25), Fraction(30000, 1001), Fraction(1, 3)])
def test_tokens_come_back_as_they_were(tmp_path: Path, fps: Fraction | None) -> None:
    tokens = some_tokens(fps=fps)
    save_tokens(tmp_path / "clip.safetensors", tokens)
    again = load_tokens(tmp_path / "clip.safetensors")
    assert again.ids.equal(tokens.ids) and again.ids.dtype == torch.int64
    assert (again.space, again.size, again.fps) == (tokens.space, tokens.size, tokens.fps)
    assert again.fingerprint == tokens.fingerprint


@pytest.mark.parametrize(
    ("radices", "dtype"),
    [
        ((2,), torch.uint8),
        ((2,) * 8, torch.uint8),
        ((2,) * 9, torch.int16),
        ((2,) * 15, torch.int16),
        ((2,) * 16, torch.int32),
        ((2,) * 18, torch.int32),
        ((8, 8, 8, 5, 5, 5), torch.int32),
        ((1024,), torch.int16),
        ((2,) * 31, torch.int32),
        ((2,) * 32, torch.int64),
        ((2,) * 62, torch.int64),
    ],
)
def test_ids_take_the_smallest_integers_that_hold_them(
    tmp_path: Path, radices: tuple[int, ...], dtype: torch.dtype
) -> None:
    tokens = some_tokens(TokenSpace(radices, (4, 8, 8)))
    save_tokens(tmp_path / "clip.safetensors", tokens)
    with safe_open(tmp_path / "clip.safetensors", framework="pt") as file:
        assert file.get_tensor("ids").dtype == dtype
    assert load_tokens(tmp_path / "clip.safetensors").ids.equal(tokens.ids)


def test_the_file_is_the_documented_one(tmp_path: Path) -> None:
    tokens = some_tokens()
    save_tokens(tmp_path / "clip.safetensors", tokens)
    with safe_open(tmp_path / "clip.safetensors", framework="numpy") as file:
        assert list(file.keys()) == ["ids"]
        assert np.array_equal(file.get_tensor("ids"), tokens.ids.numpy())
        assert {key: json.loads(value) for key, value in file.metadata().items()} == {"magvit2-tokens": HEADER}


def test_a_stranger_s_file_is_read(tmp_path: Path) -> None:
    tokens = load_tokens(write_by_hand(tmp_path / "clip.safetensors", fps=None))
    assert tokens.size == (5, 17, 24)
    assert tokens.fps is None
    assert tokens.ids.shape == (2, 3, 3)


def test_a_token_file_is_told_from_others(tmp_path: Path) -> None:
    save_tokens(tmp_path / "clip.safetensors", some_tokens())
    save_file({"weights": torch.zeros(3)}, tmp_path / "model.safetensors")
    (tmp_path / "clip.mp4").write_bytes((tmp_path / "clip.safetensors").read_bytes())
    assert is_token_file(tmp_path / "clip.safetensors")
    assert not is_token_file(tmp_path / "model.safetensors")
    assert not is_token_file(tmp_path / "clip.mp4")
    assert not is_token_file(tmp_path / "missing.safetensors")


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"clip\.tokens: token files end in \.safetensors"):
        save_tokens(tmp_path / "clip.tokens", some_tokens())
    assert names(tmp_path) == []


def refusal(path: Path) -> str:
    with pytest.raises(FormatError) as caught:
        load_tokens(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    return text


def test_a_file_that_is_missing_empty_or_text(tmp_path: Path) -> None:
    (tmp_path / "empty.safetensors").touch()
    (tmp_path / "text.safetensors").write_text("no tokens\n" * 20)
    for name in ("missing", "empty", "text"):
        assert "cannot be read as safetensors" in refusal(tmp_path / f"{name}.safetensors")


@pytest.mark.parametrize("length", [4, 100, -1])
def test_a_file_that_is_cut_short(tmp_path: Path, length: int) -> None:
    path = write_by_hand(tmp_path / "clip.safetensors")
    path.write_bytes(path.read_bytes()[:length])
    assert "cannot be read as safetensors" in refusal(path)


def test_other_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"ids": torch.zeros(2, 3, 3)}, path)
    assert refusal(path) == f"{path}: not a token file; expected one written by `magvit2 encode`"
    save_file({"weights": torch.zeros(3)}, path, {"magvit2-tokens": json.dumps(HEADER)})
    assert refusal(path) == f"{path}: not a token file; expected one written by `magvit2 encode`"


def test_a_later_version_is_named(tmp_path: Path) -> None:
    path = write_by_hand(tmp_path / "clip.safetensors", version=2)
    assert refusal(path) == f"{path}: token file version 2, this release reads 1"


@pytest.mark.parametrize("key", ["version", "size", "fps", "radices", "strides", "fingerprint"])
def test_a_header_without_a_key(tmp_path: Path, key: str) -> None:
    path = tmp_path / "clip.safetensors"
    header = {name: value for name, value in HEADER.items() if name != key}
    save_file({"ids": torch.zeros(2, 3, 3, dtype=torch.int32)}, path, {"magvit2-tokens": json.dumps(header)})
    text = refusal(path)
    assert "damaged" in text and key in text


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '"text"'])
def test_a_header_that_is_no_table(tmp_path: Path, text: str) -> None:
    path = tmp_path / "clip.safetensors"
    save_file({"ids": torch.zeros(2, 3, 3, dtype=torch.int32)}, path, {"magvit2-tokens": text})
    assert "damaged" in refusal(path)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    "change",
    [
        {"fps": "fast"},
        {"fps": "1/0"},
        {"radices": []},
        {"radices": [1, 2]},
        {"radices": ["2"]},
        {"radices": [2] * 99},
        {"radices": 2},
        {"strides": [4, 8]},
        {"strides": [0, 8, 8]},
        {"strides": [2, 8, 8]},
        {"size": [5, 17]},
        {"size": [0, 17, 24]},
        {"size": [6, 17, 24]},
        {"size": [5, 25, 24]},
        {"size": "large"},
        {"size": ["5", "17", "24"]},
        {"fingerprint": 7},
    ],
    ids=str,
)
def test_a_header_with_an_impossible_value(tmp_path: Path, change: dict[str, Any]) -> None:
    assert "damaged" in refusal(write_by_hand(tmp_path / "clip.safetensors", **change))


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    "ids",
    [
        torch.full((2, 3, 3), 2**18, dtype=torch.int32),
        torch.full((2, 3, 3), -1, dtype=torch.int32),
        torch.zeros(2, 3, 3),
        torch.zeros(18, dtype=torch.int32),
        torch.zeros(2, 3, 4, dtype=torch.int32),
        torch.zeros(0, 3, 3, dtype=torch.int32),
    ],
    ids=["beyond the vocabulary", "negative", "no integers", "no grid", "another grid", "none"],
)
def test_ids_that_do_not_fit_the_header(tmp_path: Path, ids: torch.Tensor) -> None:
    assert "damaged" in refusal(write_by_hand(tmp_path / "clip.safetensors", ids))


def test_nothing_is_left_where_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        save_tokens(tmp_path / "clip.safetensors", some_tokens())
    assert names(tmp_path) == []
