"""Network files: found, checked, read without running anything, or refused in one line."""

import hashlib
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from magvit2.errors import FormatError, Magvit2Error
from magvit2.features.files import (
    FoundFile,
    MissingNetworkError,
    NetworkFile,
    find_network,
    load_into,
    open_network,
    read_arrays,
    read_script,
    read_state_dict,
)


class Doubler(nn.Module):
    """A network without options."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2


class Picky(nn.Module):
    """A network that knows an option, and wants something else than it is given."""

    def forward(self, x: Tensor, strict: bool = False) -> Tensor:
        assert not strict or x.shape[0] == 3
        return x @ torch.ones(4, 4)


class Unnamed(nn.Module):
    """A network without `forward`."""

    @torch.jit.export
    def look(self, x: Tensor) -> Tensor:
        return x


class Boom:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("unpickled",))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_missing_file_says_what_is_needed_and_where(tmp_path: Path) -> None:
    with pytest.raises(MissingNetworkError, match=f"^needs a.pth or b.pth in {tmp_path}$") as caught:
        find_network(tmp_path, NetworkFile(("a.pth", "b.pth")))
    assert isinstance(caught.value, Magvit2Error)
    with pytest.raises(MissingNetworkError, match=f"^needs c.pt in {tmp_path}$"):
        open_network(tmp_path / "c.pt")


def test_the_first_name_that_is_there_is_taken_and_labelled(tmp_path: Path) -> None:
    (tmp_path / "b.pth").write_bytes(b"b")
    found = find_network(tmp_path, NetworkFile(("a.pth", "b.pth")))
    assert (found.path, found.sha256) == (tmp_path / "b.pth", sha256(b"b"))
    assert found.label == f"b.pth sha256:{sha256(b'b')[:8]}"
    (tmp_path / "a.pth").write_bytes(b"a")
    assert find_network(tmp_path, NetworkFile(("a.pth", "b.pth"))).path.name == "a.pth"


def test_a_known_digest_is_held_to(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"right")
    assert find_network(tmp_path, NetworkFile(("a.npz",), sha256(b"right"))).sha256 == sha256(b"right")
    with pytest.raises(FormatError, match=r"SHA-256 is .*, expected .*; get the file again"):
        find_network(tmp_path, NetworkFile(("a.npz",), sha256(b"wrong")))


def test_torchvision_s_names_promise_a_digest(tmp_path: Path) -> None:
    good, bad = tmp_path / f"net-{sha256(b'net')[:8]}.pth", tmp_path / "net-01234567.pth"
    good.write_bytes(b"net")
    bad.write_bytes(b"net")
    assert open_network(good).sha256 == sha256(b"net")
    with pytest.raises(FormatError, match="expected 01234567"):
        open_network(bad)


def test_arrays_come_as_float32(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", half=np.float16([0.5, 2]), full=np.float32([[1, 2]]))
    arrays = read_arrays(open_network(tmp_path / "a.npz"))
    assert {name: (array.dtype, array.tolist()) for name, array in arrays.items()} == {
        "half": (torch.float32, [0.5, 2.0]),
        "full": (torch.float32, [[1.0, 2.0]]),
    }


@pytest.mark.parametrize("read", [read_arrays, read_state_dict])
def test_a_damaged_file_is_refused(tmp_path: Path, read) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a"
    for data in (b"", b"not a network", b"PK\x03\x04 cut", b"\x93NUMPY\x01\x00"):
        path.write_bytes(data)
        with pytest.raises(FormatError, match="cannot be read as") as caught:
            read(open_network(path))
        assert "\n" not in str(caught.value)


def test_pickled_objects_are_refused_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "a.npz", array=np.array([Boom()], dtype=object))
    torch.save({"a": Boom()}, tmp_path / "a.pth")
    with pytest.raises(FormatError, match="npz"):
        read_arrays(open_network(tmp_path / "a.npz"))
    with pytest.raises(FormatError, match="state dict"):
        read_state_dict(open_network(tmp_path / "a.pth"))
    assert "unpickled" not in capsys.readouterr().out


def test_a_state_dict_is_tensors_by_name(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "good.pth")
    torch.save({"state_dict": {"a": torch.ones(2)}}, tmp_path / "nested.pth")
    assert read_state_dict(open_network(tmp_path / "good.pth"))["a"].tolist() == [1.0, 1.0]
    with pytest.raises(FormatError, match="expected a state dict of tensors by name"):
        read_state_dict(open_network(tmp_path / "nested.pth"))


def test_what_is_no_torchscript_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_bytes(b"no archive")
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("a", "b")
    for name in ("text.pt", "zip.pt"):
        with pytest.raises(FormatError, match="cannot be read as TorchScript") as caught:
            read_script(open_network(tmp_path / name), torch.device("cpu"))
        assert "\n" not in str(caught.value)


def scripted(module: nn.Module, path: Path) -> FoundFile:
    torch.jit.script(module).save(str(path))
    return open_network(path)


def test_a_script_is_called_with_the_options_it_must_know(tmp_path: Path) -> None:
    script = read_script(scripted(Picky(), tmp_path / "a.pt"), torch.device("cpu"), ("strict",))
    assert torch.equal(script(torch.ones(3, 4), "strict"), torch.full((3, 4), 4.0))
    assert torch.equal(script(torch.ones(2, 4)), torch.full((2, 4), 4.0))


@pytest.mark.parametrize(("module", "lacking"), [(Doubler(), "forward_features, strict"), (Unnamed(), "strict"),
                                                 (Picky(), "forward_features")])  # fmt: skip
def test_an_archive_of_another_network_is_refused(tmp_path: Path, module: nn.Module, lacking: str) -> None:
    file = scripted(module, tmp_path / "a.pt")
    with pytest.raises(FormatError, match=rf"a\.pt: an archive of another network, without .*{lacking}"):
        read_script(file, torch.device("cpu"), ("strict", "forward_features"))


def test_an_archive_without_forward_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"a\.pt: an archive of another network, without forward$"):
        read_script(scripted(Unnamed(), tmp_path / "a.pt"), torch.device("cpu"))


@pytest.mark.parametrize(("shape", "option"), [((2, 5), ()), ((2, 4), ("strict",))])
def test_a_script_that_fails_on_its_input_is_one_line(
    tmp_path: Path, shape: tuple[int, int], option: tuple[str, ...]
) -> None:
    script = read_script(scripted(Picky(), tmp_path / "a.pt"), torch.device("cpu"), ("strict",))
    with pytest.raises(FormatError, match=rf"fails on torch\.float32 \[2, {shape[1]}\] \(.*\); is it") as caught:
        script(torch.ones(*shape), *option)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_kind_is_refused_in_a_line_that_gives_no_advice_to_run_it(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """PyTorch's own messages suggest to load the file with `weights_only=False`."""
    (tmp_path / "text.pth").write_text("<html>404 Not Found</html>")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    np.savez(tmp_path / "arrays.pth", a=np.ones(3))
    (tmp_path / "arrays.pth.npz").rename(tmp_path / "arrays.pth")
    names = [scripted(Doubler(), tmp_path / "script.pth").path.name, "text.pth", "module.pth", "arrays.pth"]
    recwarn.clear()
    for name in names:
        with pytest.raises(FormatError) as caught:
            read_state_dict(open_network(tmp_path / name))
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / name}: cannot be read as a state dict (")
        assert message.endswith("); get the file again")
        assert len(message) < len(str(tmp_path)) + 160
        assert not any(part in message for part in ("\n", "\x1b", "arbitrary code", "`False`"))
    assert not recwarn.list


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_that_was_cut_is_refused(tmp_path: Path, share: float) -> None:
    np.savez(tmp_path / "a.npz", array=np.random.default_rng(0).normal(size=1000))
    torch.save({"a": torch.randn(1000)}, tmp_path / "a.pth")
    scripted(Doubler(), tmp_path / "a.pt")
    readers = {"a.npz": read_arrays, "a.pth": read_state_dict, "a.pt": partial(read_script, device=torch.device("cpu"))}
    for name, read in readers.items():
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: int(share * len(data))])
        with pytest.raises(FormatError, match=r"cannot be read as .* \(.*\); get the file again$") as caught:
            read(open_network(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_tensors_must_be_the_network_s(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    file = open_network(tmp_path / "a")
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    tensors = {name: torch.full_like(value, 2) for name, value in network.state_dict().items()}
    without_counter = {name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")}
    load_into(network, without_counter | {"fc.weight": torch.ones(1)}, file, ignore=("fc.",))
    assert network[0].weight.tolist() == [[2.0, 2.0]] * 3
    with pytest.raises(FormatError, match=r"the first that differs is fc.weight"):
        load_into(network, without_counter | {"fc.weight": torch.ones(1)}, file)
    with pytest.raises(FormatError, match=r"the first that differs is 0.weight"):
        load_into(network, without_counter | {"0.weight": torch.ones(3, 3)}, file)
    with pytest.raises(FormatError, match=r"the first that differs is 1.running_var"):
        load_into(network, {k: v for k, v in without_counter.items() if k != "1.running_var"}, file)
