"""Models on disk: saved whole, loaded exactly, never unpickled; what is wrong with a folder is one line."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from magvit2 import store
from magvit2.errors import ConfigError, FormatError, Magvit2Error, ModelNotFoundError
from magvit2.registry import embedded_folder
from magvit2.store import fingerprint, read_tensors_and_metadata, replacing, write_model, write_tensors
from magvit2.tokenizer import Tokenizer
from tests.tokenizer.making import OURS, random_clips, random_tokenizer

CONFIG, TENSORS = store.CONFIG_NAME, store.TENSORS_NAME


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a saved tokenizer."""
    random_tokenizer(OURS).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def one_line(error: pytest.ExceptionInfo[Magvit2Error]) -> str:
    text = str(error.value)
    assert text and "\n" not in text
    return text


def test_a_saved_model_loads_as_it_was(folder: Path) -> None:
    original, loaded = random_tokenizer(OURS), Tokenizer.from_pretrained(folder)
    assert loaded.config == OURS and not loaded.training
    assert loaded.state_dict().keys() == original.state_dict().keys()
    assert all(torch.equal(value, original.state_dict()[key]) for key, value in loaded.state_dict().items())
    assert loaded.fingerprint == original.fingerprint
    clips = random_clips(1, 5, 16, 16)
    ids = original.encode(clips)
    assert torch.equal(loaded.encode(clips), ids)
    assert torch.equal(loaded.decode(ids), original.decode(ids))


def test_a_folder_s_name_may_be_text(folder: Path) -> None:
    assert Tokenizer.from_pretrained(str(folder)).config == OURS


def test_a_loaded_model_can_be_trained_and_has_the_type_that_is_asked_for(folder: Path) -> None:
    loaded = Tokenizer.from_pretrained(folder, dtype=torch.bfloat16)
    assert all(p.requires_grad and p.dtype == torch.bfloat16 for p in loaded.parameters())
    assert all(p.is_contiguous(memory_format=torch.channels_last_3d) for p in loaded.parameters() if p.ndim == 5)


def test_a_model_rounded_to_bf16_has_one_fingerprint_however_it_is_loaded(tmp_path: Path) -> None:
    original = random_tokenizer(OURS)
    original.save_pretrained(tmp_path / "b", dtype=torch.bfloat16)
    assert all(value.dtype == torch.bfloat16 for value in store.read_tensors(tmp_path / "b" / TENSORS).values())
    as_bf16 = Tokenizer.from_pretrained(tmp_path / "b", dtype=torch.bfloat16)
    as_fp32 = Tokenizer.from_pretrained(tmp_path / "b")
    assert as_fp32.dtype == torch.float32
    assert as_bf16.fingerprint == as_fp32.fingerprint != original.fingerprint
    as_fp32.save_pretrained(tmp_path / "f")
    assert Tokenizer.from_pretrained(tmp_path / "f").fingerprint == as_fp32.fingerprint


def test_the_fingerprint_names_settings_names_shapes_and_values() -> None:
    tensors = {"a": torch.arange(6.0), "b": torch.ones(2)}
    name = fingerprint({"k": 1, "l": 2}, tensors)
    assert len(name) == 16 and int(name, 16) >= 0
    assert fingerprint({"l": 2, "k": 1}, dict(reversed(tensors.items()))) == name
    strided = torch.arange(6.0).repeat_interleave(2)[::2]
    assert fingerprint({"k": 1, "l": 2}, {**tensors, "a": strided}) == name
    others = [
        fingerprint({"k": 1, "l": 3}, tensors),
        fingerprint({"k": 1, "l": 2}, {"a": tensors["a"], "c": tensors["b"]}),
        fingerprint({"k": 1, "l": 2}, {**tensors, "a": tensors["a"].view(2, 3)}),
        fingerprint({"k": 1, "l": 2}, {**tensors, "b": torch.tensor([1.0, 1.0000001])}),
    ]
    assert len({name, *others}) == 5


def test_saving_again_replaces_the_model_and_leaves_other_files(folder: Path) -> None:
    (folder / "LICENSE").write_text("free")
    model = random_tokenizer(OURS)
    nn.init.zeros_(model.encoder.head.bias)
    model.save_pretrained(folder)
    assert Tokenizer.from_pretrained(folder).fingerprint == model.fingerprint
    assert sorted(path.name for path in folder.iterdir()) == ["LICENSE", CONFIG, TENSORS]


def test_a_folder_with_something_else_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FormatError, match="holds no model") as error:
        random_tokenizer(OURS).save_pretrained(tmp_path)
    assert str(tmp_path) in one_line(error)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(FormatError, match="holds no model"):
        random_tokenizer(OURS).save_pretrained(tmp_path / "thesis.tex")


def test_what_a_killed_writer_left_does_not_stop_the_next_one(tmp_path: Path) -> None:
    (tmp_path / f".{TENSORS}.abc.partial").write_bytes(b"half")
    (tmp_path / TENSORS).write_bytes(b"tensors without their config.json")
    random_tokenizer(OURS).save_pretrained(tmp_path)
    assert Tokenizer.from_pretrained(tmp_path).config == OURS
    assert sorted(path.name for path in tmp_path.iterdir()) == [CONFIG, TENSORS]


def test_a_failing_write_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "new.txt") as temporary:
        temporary.write_text("half")
        assert not (tmp_path / "new.txt").exists()
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_failing_write_leaves_the_old_file_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full_disk(_tensors: object, path: Path, _metadata: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full_disk)
    with pytest.raises(OSError, match="no space left"):
        random_tokenizer(OURS).save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_tensors_and_metadata_round_trip(tmp_path: Path) -> None:
    tensors = {"ids": torch.arange(24).view(2, 3, 4).transpose(0, 2), "scale": torch.tensor(0.5, dtype=torch.bfloat16)}
    write_tensors(tmp_path / "deep" / "t.safetensors", tensors, {"fps": "25/1"})
    found, metadata = read_tensors_and_metadata(tmp_path / "deep" / "t.safetensors")
    assert metadata == {"fps": "25/1"}
    assert all(torch.equal(found[key], value) and found[key].dtype == value.dtype for key, value in tensors.items())


def edit_config(folder: Path, **changes: object) -> None:
    header = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(header | changes))


def damage_tensors(folder: Path) -> None:
    data = (folder / TENSORS).read_bytes()
    (folder / TENSORS).write_bytes(data[: len(data) // 2])


def change_tensors(folder: Path) -> None:
    tensors = store.read_tensors(folder / TENSORS)
    write_tensors(folder / TENSORS, {**tensors, "encoder.head.bias": torch.zeros(7)})


def drop_a_tensor(folder: Path) -> None:
    tensors = store.read_tensors(folder / TENSORS)
    del tensors["encoder.head.bias"]
    write_tensors(folder / TENSORS, tensors)


@pytest.mark.parametrize(
    ("harm", "error_class", "message"),
    [
        (lambda f: edit_config(f, kind="lm"), FormatError, "kind 'lm', expected 'tokenizer'"),
        (lambda f: edit_config(f, format_version=2), FormatError, "format version 2, this release reads 1"),
        (lambda f: edit_config(f, author="me"), FormatError, "expected the keys kind, format_version and settings"),
        (lambda f: edit_config(f, settings={"depth": 3}), ConfigError, r"config\.json: unknown key 'depth'"),
        (lambda f: edit_config(f, settings={"num_bits": "many"}), ConfigError, r"config\.json\.num_bits: got 'many'"),
        (lambda f: edit_config(f, settings=[]), FormatError, "expected the keys and values of a configuration"),
        (lambda f: (f / CONFIG).write_text("{"), FormatError, "cannot be read as JSON"),
        (lambda f: (f / CONFIG).write_text("[]"), FormatError, "expected the keys"),
        (lambda f: (f / CONFIG).write_bytes(b"\xff\xfe\x00"), FormatError, "cannot be read as JSON"),
        (lambda f: (f / CONFIG).unlink(), ModelNotFoundError, r"no config\.json in it"),
        (lambda f: (f / TENSORS).unlink(), FormatError, "cannot be read as safetensors"),
        (damage_tensors, FormatError, "cannot be read as safetensors"),
        (lambda f: (f / TENSORS).write_bytes(b""), FormatError, "cannot be read as safetensors"),
        (change_tensors, FormatError, r"do not fit its config\.json; the first that differs is encoder\.head\.bias"),
        (drop_a_tensor, FormatError, r"do not fit its config\.json; the first that differs is encoder\.head\.bias"),
    ],
)
def test_what_is_wrong_with_a_model_folder_is_one_line_that_names_it(
    folder: Path, harm: object, error_class: type[Magvit2Error], message: str
) -> None:
    harm(folder)
    with pytest.raises(error_class, match=message) as error:
        Tokenizer.from_pretrained(folder)
    assert str(folder) in one_line(error)


@pytest.mark.parametrize("name", ["nothing-here", "./missing", "/missing/model", "a/b/c", "", "..", "../x"])
def test_a_name_that_leads_nowhere_is_one_line_and_asks_no_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("asked the hub"))
    with pytest.raises(ModelNotFoundError) as error:
        Tokenizer.from_pretrained(name)
    assert name in one_line(error)


@pytest.mark.parametrize(
    ("problem", "reason"),
    [(OSError("offline\nmode is on"), "offline"), (ConnectionError(), "ConnectionError")],
)
def test_a_hub_that_does_not_answer_is_one_line(
    problem: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise problem

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(ModelNotFoundError, match=f"owner/name: .*hub did not give it .{reason}") as error:
        Tokenizer.from_pretrained("owner/name")
    one_line(error)


def test_a_hub_id_loads_only_the_two_files_it_needs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert Tokenizer.from_pretrained("owner/name").config == OURS
    assert asked == [("owner/name", [CONFIG, TENSORS])]


def test_pickled_weights_are_not_opened(folder: Path) -> None:
    torch.save(random_tokenizer(OURS).state_dict(), folder / TENSORS)
    with pytest.raises(FormatError, match="cannot be read as safetensors"):
        Tokenizer.from_pretrained(folder)


def test_embedded_names_cannot_leave_their_folder() -> None:
    for name in ("", ".", "..", "../tokenizer", "/etc", "a\\b", "unknown"):
        assert embedded_folder("tokenizer", name) is None


def test_a_model_can_be_written_without_a_module(tmp_path: Path) -> None:
    write_model(tmp_path / "m", "toy", {"size": 2}, {"w": torch.ones(2)})
    assert store.read_config(tmp_path / "m", "toy") == {"size": 2}
    assert store.find_model("toy", tmp_path / "m") == tmp_path / "m"
    (tmp_path / "run").mkdir()
    (tmp_path / "m").rename(tmp_path / "run" / "model")
    with pytest.raises(ModelNotFoundError, match=r"no config\.json in it; .*; did you mean .*run/model\?"):
        store.find_model("toy", tmp_path / "run")


def test_rounded_for_speed_a_model_keeps_the_name_of_its_file_until_its_weights_change(folder: Path) -> None:
    name = Tokenizer.from_pretrained(folder).fingerprint
    fast = Tokenizer.from_pretrained(folder, dtype=torch.bfloat16)
    assert fast.fingerprint == name
    with torch.no_grad():
        fast.encoder.stem.weight[0, 0, 0, 0, 0] += 1
    assert fast.fingerprint != name
