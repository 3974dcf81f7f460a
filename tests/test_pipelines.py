"""The path of a pixel: what goes in comes out in its true number, size, order and rate, a few frames at a time."""

import weakref
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from magvit2.errors import FormatError, InputError, MediaError
from magvit2.pipelines import (
    FramePair,
    decode_tokens,
    encode_file,
    encode_frames,
    frame_to_float,
    frame_to_u8,
    reconstruct_file,
    reconstruct_frames,
    side_by_side_frames,
    write_frames,
)
from magvit2.tokenizer import Tokenizer
from magvit2.tokens import Tokens
from magvit2.video import probe, read_clip, write_image
from tests.tiny import EchoTokenizer, WatchedFrames, tiny_tokenizer
from tests.video.making import encode, frame_numbers, names, scene

RATE = Fraction(30000, 1001)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return tiny_tokenizer()


def frames_in_folder(folder: Path, frames: np.ndarray) -> Path:
    for number, frame in enumerate(frames):
        write_image(folder / f"{number}.png", frame)
    return folder


def one_shot(tokenizer: Tokenizer, frames: np.ndarray) -> np.ndarray:
    """Frames through `encode` and `decode` at once."""
    clip = torch.stack([frame_to_float(frame) for frame in frames], dim=1)[None]
    decoded = tokenizer.decode(tokenizer.encode(clip), size=tuple(frames.shape[:3]))
    return np.stack([frame_to_u8(frame) for frame in decoded[0].unbind(dim=1)])


@pytest.mark.parametrize("num_frames", [1, 2, 5, 50])
@pytest.mark.parametrize("size", [(16, 24), (17, 31)])
def test_every_frame_of_a_file_comes_back_in_its_size(
    tokenizer: Tokenizer, tmp_path: Path, num_frames: int, size: tuple[int, int]
) -> None:
    path = tmp_path / "clip.mkv"
    write_frames(path, iter(scene(num_frames, *size)), RATE, lossless=True)
    tokens = encode_file(tokenizer, path)
    decoded = list(decode_tokens(tokenizer, tokens))
    assert tokens.size == (num_frames, *size)
    assert tokens.fps == RATE
    assert tuple(tokens.ids.shape) == (1 + -(-(num_frames - 1) // 4), -(-size[0] // 8), -(-size[1] // 8))
    assert len(decoded) == num_frames
    assert {frame.shape for frame in decoded} == {(*size, 3)}


def test_a_file_gives_what_encoding_and_decoding_at_once_gives(tokenizer: Tokenizer, tmp_path: Path) -> None:
    frames = scene(7, 20, 28)
    tokens = encode_file(tokenizer, frames_in_folder(tmp_path, frames))
    expected = one_shot(tokenizer, frames)
    assert np.array_equal(np.stack(list(decode_tokens(tokenizer, tokens))), expected)
    assert np.unique(expected).size > 10  # the tokenizer does not paint everything grey


def test_an_image_has_no_rate_and_one_latent_frame(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write_image(tmp_path / "photo.png", scene(1, 19, 25)[0])
    tokens = encode_file(tokenizer, tmp_path / "photo.png")
    assert tokens.fps is None
    assert tokens.size == (1, 19, 25)
    assert tuple(tokens.ids.shape) == (1, 3, 4)


def test_tokens_say_who_made_them(tokenizer: Tokenizer) -> None:
    tokens = encode_frames(tokenizer, scene(1, 16, 16), None)
    assert tokens.fingerprint == tokenizer.fingerprint
    assert tokens.space == tokenizer.space


def test_no_frames_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="no frames: expected at least one"):
        encode_frames(tokenizer, iter(()), RATE)


def test_tokens_of_another_tokenizer_are_refused_and_both_are_named(tokenizer: Tokenizer) -> None:
    other = tiny_tokenizer(seed=1)
    tokens = encode_frames(other, scene(2, 16, 16), RATE)
    with pytest.raises(FormatError) as caught:
        list(decode_tokens(tokenizer, tokens))
    assert tokenizer.fingerprint in str(caught.value)
    assert other.fingerprint in str(caught.value)


@pytest.mark.parametrize("size", [(6, 16, 16), (1, 16, 16), (5, 17, 16), (5, 16, 8)])
def test_a_size_that_is_not_that_of_the_grid_is_refused(tokenizer: Tokenizer, size: tuple[int, int, int]) -> None:
    made = encode_frames(tokenizer, scene(5, 16, 16), RATE)
    wrong = Tokens(made.ids, made.space, size, made.fps, made.fingerprint)
    with pytest.raises(FormatError, match=r"grid \(2, 2, 2\) cannot have the size"):
        list(decode_tokens(tokenizer, wrong))


def test_fewer_bits_decode_to_another_picture_of_the_same_size(tokenizer: Tokenizer) -> None:
    tokens = encode_frames(tokenizer, scene(2, 16, 24), RATE)
    whole, prefix = (np.stack(list(decode_tokens(tokenizer, tokens, num_bits))) for num_bits in (None, 3))
    assert whole.shape == prefix.shape
    assert not np.array_equal(whole, prefix)


def test_progress_counts_every_frame_once_in_order(tokenizer: Tokenizer, tmp_path: Path) -> None:
    frames = scene(6, 16, 16)
    encoded: list[int] = []
    reconstructed: list[int] = []
    written: list[int] = []
    encode_frames(tokenizer, frames, RATE, encoded.append)
    list(reconstruct_frames(tokenizer, frames, reconstructed.append))
    write_frames(tmp_path / "clip.mkv", iter(frames), RATE, progress=written.append)
    assert encoded == reconstructed == written == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4, 5, 6, 9, 11])
def test_every_frame_is_paired_with_its_own_reconstruction(num_frames: int) -> None:
    frames = scene(num_frames, 16, 56)
    gaps = list(range(1, num_frames + 1))
    pairs = list(reconstruct_frames(EchoTokenizer(gaps), frames))
    assert frame_numbers(np.stack([pair.original for pair in pairs])) == list(range(num_frames))
    expected = np.minimum(frames + np.array(gaps)[:, None, None, None], 255)
    assert np.array_equal(np.stack([pair.decoded for pair in pairs]), expected)


def test_reconstruction_equals_encoding_and_decoding_at_once(tokenizer: Tokenizer) -> None:
    frames = scene(7, 17, 26)
    pairs = list(reconstruct_frames(tokenizer, frames))
    assert np.array_equal(np.stack([pair.original for pair in pairs]), frames)
    assert np.array_equal(np.stack([pair.decoded for pair in pairs]), one_shot(tokenizer, frames))


def test_reconstruction_from_a_file_is_that_of_its_frames(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mp4", scene(6))
    frames = read_clip(path)[0]
    from_file = [pair.decoded for pair in reconstruct_file(tokenizer, path, num_bits=3)]
    from_frames = [pair.decoded for pair in reconstruct_frames(tokenizer, frames, num_bits=3)]
    assert np.array_equal(np.stack(from_file), np.stack(from_frames))


def test_reconstruction_takes_no_more_than_one_group_ahead(tokenizer: Tokenizer) -> None:
    """Frames taken and not given back are all that is held; a video's length does not matter."""
    frames = WatchedFrames(scene(50, 16, 16))
    held = [frames.num_taken - number for number, _ in enumerate(reconstruct_frames(tokenizer, frames))]
    assert len(held) == 50
    assert max(held) <= 4


@pytest.mark.parametrize("use", [encode_frames, lambda *given: list(map(id, reconstruct_frames(*given[:2])))])
def test_no_more_than_a_group_of_frames_is_alive_at_any_time(tokenizer: Tokenizer, use: Callable[..., object]) -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    counts: list[int] = []

    def fresh_frames() -> Iterator[np.ndarray]:
        for number in range(30):
            frame = np.full((16, 16, 3), number, np.uint8)
            alive.append(weakref.ref(frame))
            counts.append(sum(reference() is not None for reference in alive))
            yield frame

    use(tokenizer, fresh_frames(), RATE)
    assert len(counts) == 30
    assert max(counts) <= 6


def test_decoding_starts_before_encoding_has_ended() -> None:
    frames = WatchedFrames(scene(9, 16, 16))
    pairs = reconstruct_frames(EchoTokenizer(), frames)
    next(pairs)
    assert frames.num_taken == 1


def test_the_ids_of_a_reconstruction_can_be_watched(tokenizer: Tokenizer) -> None:
    frames = scene(6, 16, 24)
    seen: list[torch.Tensor] = []
    list(reconstruct_frames(tokenizer, frames, on_ids=seen.append))
    assert torch.equal(torch.cat(seen), encode_frames(tokenizer, frames, RATE).ids)


def test_side_by_side_is_the_original_a_gap_and_the_reconstruction() -> None:
    pair = FramePair(np.full((3, 5, 3), 10, np.uint8), np.full((3, 5, 3), 200, np.uint8))
    (frame,) = side_by_side_frames([pair])
    assert frame.shape == (3, 14, 3)
    assert np.array_equal(frame[:, :5], pair.original)
    assert np.unique(frame[:, 5:9]).size == 1
    assert np.array_equal(frame[:, 9:], pair.decoded)


def test_8_bit_frames_survive_the_way_to_floats_and_back() -> None:
    frame = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    values = frame_to_float(frame)
    assert (values.min(), values.max()) == (-1.0, 1.0)
    assert np.array_equal(frame_to_u8(values), frame)


def test_values_beyond_the_range_end_at_black_and_white() -> None:
    values = torch.tensor([-1.5, 0.0, 1.5]).reshape(3, 1, 1)
    assert frame_to_u8(values).flatten().tolist() == [0, 128, 255]


def test_frames_become_a_video_of_the_given_rate(tmp_path: Path) -> None:
    frames = scene(5)
    assert write_frames(tmp_path / "clip.mkv", iter(frames), RATE, lossless=True) == 5
    clip, info = read_clip(tmp_path / "clip.mkv")
    assert np.array_equal(clip, frames)
    assert info.fps == RATE


def test_frames_without_a_rate_become_a_video_of_25_a_second(tmp_path: Path) -> None:
    write_frames(tmp_path / "clip.mp4", iter(scene(3)), None)
    assert probe(tmp_path / "clip.mp4").fps == 25


@pytest.mark.parametrize("name", ["photo.png", "photo.PNG", "photo.webp"])
def test_one_frame_becomes_an_image(tmp_path: Path, name: str) -> None:
    frames = scene(1, 16, 16)
    assert write_frames(tmp_path / name, iter(frames), None) == 1
    clip, info = read_clip(tmp_path / name)
    assert info.kind == "image"
    assert np.array_equal(clip, frames)


def test_several_frames_do_not_fit_into_an_image(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"photo\.png is an image, but there are several frames"):
        write_frames(tmp_path / "photo.png", iter(scene(2, 16, 16)), None)
    assert names(tmp_path) == []


def test_a_name_without_ending_becomes_a_folder_of_frames(tmp_path: Path) -> None:
    frames = scene(3, 16, 16)
    write_frames(tmp_path / "frames", iter(frames), RATE)
    assert names(tmp_path / "frames") == ["000000.png", "000001.png", "000002.png"]
    assert np.array_equal(read_clip(tmp_path / "frames")[0], frames)


@pytest.mark.parametrize("name", ["clip.gif", "photo.tiff", "clip.safetensors"])
def test_an_ending_that_cannot_be_written_is_refused_with_those_that_can(tmp_path: Path, name: str) -> None:
    with pytest.raises(MediaError, match=r"expected \.mp4, \.mov, \.mkv, \.png, \.jpg, .* or a name without ending"):
        write_frames(tmp_path / name, iter(scene(1)), None)
    assert names(tmp_path) == []


def test_nothing_is_left_where_the_frames_break_off(tmp_path: Path) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield from scene(3)
        raise MediaError("the source broke off")

    for name in ("clip.mp4", "frames", "photo.png"):
        with pytest.raises((MediaError, InputError)):
            write_frames(tmp_path / name, broken(), RATE)
    assert names(tmp_path) == []
