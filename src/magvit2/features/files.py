"""Network files: found in a folder, checked by SHA-256 where it is known, read without running what they hold.

This is the only place where a foreign `.pth` is unpickled (tensors only) and a TorchScript archive is opened.
"""

import hashlib
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from magvit2.errors import FormatError, ModelNotFoundError

# torchvision ends a file's name in the first eight digits of its SHA-256 (torch.hub's `check_hash`).
_DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{8})\.pth$")

NO_NETWORKS = Path("a folder of networks (give one: --nets DIR)")
"""Stands for the folder where the caller gave none: every network is missing in it."""


class MissingNetworkError(ModelNotFoundError):
    """A network's file is not in the folder; the message reads "needs FILE in DIR"."""


@dataclass(frozen=True)
class NetworkFile:
    """A file that a network is read from: the names it goes by, any of which will do, and its SHA-256 if it is known.

    Without `sha256`, a name like torchvision's that ends in eight digits of it is held to them; others are taken as
    they are, and the digest that was found stands in the protocol.
    """

    names: tuple[str, ...]
    sha256: str | None = None


@dataclass(frozen=True)
class FoundFile:
    """A network's file and the SHA-256 of what is in it."""

    path: Path
    sha256: str

    @property
    def label(self) -> str:
        """Its name and the first eight digits of its SHA-256, for protocols."""
        return f"{self.path.name} sha256:{self.sha256[:8]}"


def find_network(nets: Path, file: NetworkFile) -> FoundFile:
    """Return the file of a network in the folder `nets`.

    Raises MissingNetworkError where there is none, FormatError where its content is not what its name promises.
    """
    path = next((nets / name for name in file.names if (nets / name).is_file()), None)
    if path is None:
        raise MissingNetworkError(f"needs {' or '.join(file.names)} in {nets}")
    return open_network(path, file.sha256)


def open_network(path: Path, sha256: str | None = None) -> FoundFile:
    """Return the network file at `path`; `sha256` is what it must have (see `NetworkFile`).

    Raises as `find_network`.
    """
    if not path.is_file():
        raise MissingNetworkError(f"needs {path.name} in {path.parent}")
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error})") from error
    in_name = _DIGEST_IN_NAME.search(path.name)
    expected = sha256 or (in_name.group(1) if in_name else "")
    if not found.startswith(expected):
        raise FormatError(f"{path}: SHA-256 is {found[:16]}..., expected {expected[:16]}...; get the file again")
    return FoundFile(path, found)


def read_arrays(file: FoundFile) -> dict[str, Tensor]:
    """Return the arrays of an `.npz` file as float32 tensors. Raises FormatError where it is damaged."""
    try:
        with np.load(file.path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(archive[name].astype(np.float32)) for name in archive.files}
    except Exception as error:  # whatever a damaged archive makes numpy and zlib raise
        raise FormatError(f"{file.path}: cannot be read as npz ({_cause(error)}); get the file again") from error


def read_state_dict(file: FoundFile) -> dict[str, Tensor]:
    """Return the tensors of a foreign `.pth` or `.pt` state dict, on the CPU. Raises FormatError for anything else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a TorchScript archive, which is refused in any case
            tensors = torch.load(file.path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or hostile file makes the unpickler raise
        # PyTorch's own words then advise to run what the file holds.
        cause = "it holds something else than tensors" if "weights_only" in str(error) else _cause(error)
        raise FormatError(f"{file.path}: cannot be read as a state dict ({cause}); get the file again") from error
    if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise FormatError(f"{file.path}: expected a state dict of tensors by name")
    return dict(tensors)


class Script:
    """The network of a TorchScript archive; what it gives is its own matter, and is to be checked."""

    def __init__(self, file: FoundFile, module: torch.jit.ScriptModule) -> None:
        self._file = file
        self._module = module

    def __call__(self, x: Tensor, *options: str) -> object:
        """Return what the network makes of x with these options on. Raises FormatError where it fails on x."""
        try:
            return self._module(x, **dict.fromkeys(options, True))
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, torch.jit.Error) as error:
            given = f"{x.dtype} {list(x.shape)}"
            raise FormatError(
                f"{self._file.path}: fails on {given} ({_last_line(error)}); is it another network's archive?"
            ) from error


def read_script(file: FoundFile, device: torch.device, options: Iterable[str] = ()) -> Script:
    """Return the network in a TorchScript archive, in evaluation mode; `options` are what its `forward` must know.

    Raises FormatError where it is no archive, or one of something else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the field's detectors exist in no other format
            module = torch.jit.load(str(file.path), map_location=device)
    except RuntimeError as error:
        raise FormatError(
            f"{file.path}: cannot be read as TorchScript ({_cause(error)}); get the file again"
        ) from error
    forward = getattr(module, "forward", None)
    known = {argument.name for argument in forward.schema.arguments} if forward else set()
    lacking = sorted(set(options) - known)
    if forward is None or lacking:
        raise FormatError(f"{file.path}: an archive of another network, without {', '.join(lacking) or 'forward'}")
    return Script(file, module.eval())


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], file: FoundFile, ignore: Iterable[str] = ()) -> None:
    """Give a module its tensors. Raises FormatError unless names and shapes agree, but for prefixes in `ignore`.

    Counters of batches, which older files lack, are not asked for.
    """
    ignored = tuple(ignore)
    expected = {name: value for name, value in module.state_dict().items() if not _is_counter(name)}
    found = {name: value for name, value in tensors.items() if not _is_counter(name) and not name.startswith(ignored)}
    wrong = sorted(set(found) ^ set(expected)) or [
        name for name in expected if found[name].shape != expected[name].shape
    ]
    if wrong:
        raise FormatError(f"{file.path}: its tensors are not this network's; the first that differs is {wrong[0]}")
    module.load_state_dict(found, strict=False)


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _cause(error: Exception) -> str:
    """Return an error's first sentence: what follows is advice."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return first.split(". ")[0].rstrip(".")


def _last_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
