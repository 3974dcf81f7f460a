"""encode, decode and reconstruct: what is in the files that they write, and what they say about it."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from magvit2.data.tokens import load_tokens
from magvit2.metrics import psnr, ssim
from magvit2.pipelines import decode_tokens, encode_file, reconstruct_frames
from magvit2.tokenizer import Tokenizer
from magvit2.video import probe, read_clip, write_image
from tests.cli.running import done, save_clip
from tests.video.making import names, scene

NTSC = Fraction(30000, 1001)


def test_fifty_frames_come_back_as_fifty_frames_of_their_size_and_rate(tmp_path: Path, model: Path) -> None:
    clip = save_clip(tmp_path / "clip.mp4", scene(50, 144, 176), NTSC)
    done("encode", clip, tmp_path / "clip.safetensors", "--model", model)
    done("decode", tmp_path / "clip.safetensors", tmp_path / "again.mp4", "--model", model)
    info = probe(tmp_path / "again.mp4")
    assert (info.num_frames, info.height, info.width, info.fps) == (50, 144, 176, NTSC)
    assert len(read_clip(tmp_path / "again.mp4")[0]) == 50
    assert names(tmp_path) == ["again.mp4", "clip.mp4", "clip.safetensors"]


def test_the_token_file_holds_what_the_tokenizer_gives(tmp_path: Path, model: Path) -> None:
    clip = save_clip(tmp_path / "clip.mp4", scene(6, 17, 25))
    done("encode", clip, tmp_path / "clip.safetensors", "--model", model)
    tokens = load_tokens(tmp_path / "clip.safetensors")
    expected = encode_file(Tokenizer.from_pretrained(model), clip)
    assert tokens.ids.equal(expected.ids)
    assert (tokens.size, tokens.fps, tokens.fingerprint) == (expected.size, expected.fps, expected.fingerprint)


def test_decode_writes_the_tokenizer_s_frames(tmp_path: Path, model: Path) -> None:
    clip = save_clip(tmp_path / "clip.mp4", scene(6, 17, 25))
    done("encode", clip, tmp_path / "clip.safetensors", "--model", model)
    done("decode", tmp_path / "clip.safetensors", tmp_path / "again.mkv", "--model", model, "--lossless")
    done("decode", tmp_path / "clip.safetensors", tmp_path / "frames", "--model", model)
    tokens = load_tokens(tmp_path / "clip.safetensors")
    expected = np.stack(list(decode_tokens(Tokenizer.from_pretrained(model), tokens)))
    assert np.array_equal(read_clip(tmp_path / "again.mkv")[0], expected)
    assert np.array_equal(read_clip(tmp_path / "frames")[0], expected)


def test_fewer_bits_give_another_clip(tmp_path: Path, model: Path) -> None:
    clip = save_clip(tmp_path / "clip.mp4", scene(2, 16, 24))
    done("encode", clip, tmp_path / "clip.safetensors", "--model", model)
    for name, bits in (("all", ()), ("six", ("--num-bits", 6)), ("two", ("--num-bits", 2))):
        done("decode", tmp_path / "clip.safetensors", tmp_path / name, "--model", model, *bits)
    clips = {name: read_clip(tmp_path / name)[0] for name in ("all", "six", "two")}
    assert np.array_equal(clips["all"], clips["six"])
    assert not np.array_equal(clips["all"], clips["two"])


def test_an_image_becomes_tokens_and_an_image_again(tmp_path: Path, model: Path) -> None:
    write_image(tmp_path / "photo.png", scene(1, 19, 23)[0])
    done("encode", tmp_path / "photo.png", tmp_path / "photo.safetensors", "--model", model)
    done("decode", tmp_path / "photo.safetensors", tmp_path / "again.png", "--model", model)
    info = probe(tmp_path / "again.png")
    assert (info.kind, info.height, info.width) == ("image", 19, 23)


def test_reconstruct_writes_the_original_and_the_reconstruction_side_by_side(tmp_path: Path, model: Path) -> None:
    frames = scene(3, 20, 30)
    clip = save_clip(tmp_path / "clip.mp4", frames, NTSC)
    done("reconstruct", clip, tmp_path / "both.mkv", "--model", model, "--lossless")
    both, info = read_clip(tmp_path / "both.mkv")
    assert both.shape == (3, 20, 30 + 4 + 30, 3)
    assert info.fps == NTSC
    assert np.array_equal(both[:, :, :30], frames)
    done("reconstruct", clip, tmp_path / "alone.mkv", "--model", model, "--lossless", "--no-side-by-side")
    assert np.array_equal(read_clip(tmp_path / "alone.mkv")[0], both[:, :, 34:])


def test_reconstruct_measures_what_it_writes(tmp_path: Path, model: Path) -> None:
    frames = scene(3, 20, 30)
    clip = save_clip(tmp_path / "clip.mp4", frames)
    report = json.loads(done("reconstruct", clip, tmp_path / "both.mp4", "--model", model, "--json"))
    pairs = list(reconstruct_frames(Tokenizer.from_pretrained(model), frames))
    assert report["frames"] == [3, 20, 30]
    assert report["PSNR, mean over frames (dB)"] == pytest.approx(np.mean([psnr(p.original, p.decoded) for p in pairs]))
    assert report["SSIM, mean over frames"] == pytest.approx(np.mean([ssim(p.original, p.decoded) for p in pairs]))


def test_frames_too_small_for_ssim_have_none_in_the_json(tmp_path: Path, model: Path) -> None:
    write_image(tmp_path / "dot.png", scene(1, 5, 7)[0])
    report = json.loads(done("reconstruct", tmp_path / "dot.png", tmp_path / "both.png", "--model", model, "--json"))
    assert report["SSIM, mean over frames"] is None
    assert report["PSNR, mean over frames (dB)"] > 0


def test_a_folder_of_frames_goes_in_and_out(tmp_path: Path, model: Path) -> None:
    for number, frame in enumerate(scene(3, 16, 16)):
        write_image(tmp_path / "in" / f"frame{number}.png", frame)
    done("reconstruct", tmp_path / "in", tmp_path / "out", "--model", model)
    assert names(tmp_path / "out") == ["000000.png", "000001.png", "000002.png"]
    assert names(tmp_path) == ["in", "out"]


def test_an_older_output_is_replaced(tmp_path: Path, model: Path) -> None:
    clip = save_clip(tmp_path / "clip.mp4", scene(1, 16, 16))
    (tmp_path / "clip.safetensors").write_text("older")
    done("encode", clip, tmp_path / "clip.safetensors", "--model", model)
    (tmp_path / "again.mp4").write_text("older")
    done("decode", tmp_path / "clip.safetensors", tmp_path / "again.mp4", "--model", model)
    assert probe(tmp_path / "again.mp4").num_frames == 1


def test_bf16_arithmetic_can_be_asked_for(tmp_path: Path, model: Path) -> None:
    clip = save_clip(tmp_path / "clip.mp4", scene(2, 16, 24))
    options = ("--model", model, "--dtype", "bf16")
    done("encode", clip, tmp_path / "clip.safetensors", *options)
    done("decode", tmp_path / "clip.safetensors", tmp_path / "frames", *options)
    tokenizer = Tokenizer.from_pretrained(model, dtype=torch.bfloat16)
    tokens = load_tokens(tmp_path / "clip.safetensors")
    assert tokens.ids.equal(encode_file(tokenizer, clip).ids)
    frames = read_clip(tmp_path / "frames")[0]
    assert np.array_equal(frames, np.stack(list(decode_tokens(tokenizer, tokens))))


def test_a_number_of_threads_can_be_asked_for(tmp_path: Path, model: Path) -> None:
    clip = save_clip(tmp_path / "clip.mp4", scene(1, 16, 16))
    assert torch.get_num_threads() == 1
    try:
        done("encode", clip, tmp_path / "clip.safetensors", "--model", model, "--threads", 2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_the_json_of_encode_and_decode(tmp_path: Path, model: Path) -> None:
    clip = save_clip(tmp_path / "clip.mp4", scene(6, 17, 25), NTSC)
    made = json.loads(done("encode", clip, tmp_path / "clip.safetensors", "--model", model, "--json"))
    assert made["file"] == str(tmp_path / "clip.safetensors")
    assert made["frames"] == [6, 17, 25]
    assert made["tokens"] == [3, 3, 4]
    assert made["frames per second"] == float(NTSC)
    assert made["bits per pixel"] == 3 * 3 * 4 * 6 / (6 * 17 * 25)
    assert made["bytes"] == (tmp_path / "clip.safetensors").stat().st_size
    again = json.loads(done("decode", made["file"], tmp_path / "again.mp4", "--model", model, "--json"))
    assert again["frames"] == [6, 17, 25]
    assert again["frames per second"] == float(NTSC)


def test_a_table_tells_a_person_the_same_on_lines_that_are_not_folded(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / ("long name " * 15)
    folder.mkdir()
    clip = save_clip(folder / "clip [b]1[/b].mp4", scene(2, 16, 16))
    table = done("encode", clip, folder / "clip [b]1[/b].safetensors", "--model", model)
    tokens = folder / "clip [b]1[/b].safetensors"
    assert table.startswith(f"{clip} -> {tokens}\n")
    assert f"│ file              │ {tokens} " in table
    assert "│ frames            │ 2 x 16 x 16" in table
    assert "│ frames per second │ 25.00" in table
