"""The store: tensors and their configuration on disk, and nothing else that is read or written as weights.

A model is a folder of `config.json` (kind, format version, closed settings) and `model.safetensors`. Nothing is ever
unpickled. Writes are atomic: a folder or file is complete or not there. This is the only door to safetensors and to
the hub.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from torch import Tensor, nn

from magvit2.errors import FormatError, ModelNotFoundError, errors_as_output
from magvit2.registry import ALIASES, embedded_folder, embedded_names
from magvit2.schema import changed_settings, from_dict, to_dict

FORMAT_VERSION = 1
CONFIG_NAME = "config.json"
TENSORS_NAME = "model.safetensors"
_PARTIAL, _REMOVED = ".partial", ".removed"

C = TypeVar("C")


class Pretrained(Generic[C]):
    """Mixin for a model built from one configuration: `from_pretrained`, `save_pretrained` and `fingerprint`."""

    kind: ClassVar[str]
    config_class: ClassVar[type[Any]]
    config: C
    _loaded: tuple[str, tuple[int, ...]] | None = None

    @classmethod
    def from_pretrained(
        cls, name: str | os.PathLike[str], *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> Self:
        """Return the model called `name`, in evaluation mode: embedded weights, a folder, or a hub id ("owner/name").

        Raises ModelNotFoundError where there is none, FormatError where its files are damaged or of another kind, and
        ConfigError for settings that no such model has.
        """
        folder = find_model(cls.kind, name)
        config = from_dict(cls.config_class, read_config(folder, cls.kind), f"{folder / CONFIG_NAME}")
        with torch.device("meta"):
            model = cls(config)  # type: ignore[call-arg]
        assert isinstance(model, nn.Module)
        tensors = read_tensors(folder / TENSORS_NAME)
        _check_names(tensors, model.state_dict(), folder)
        name_of_weights = fingerprint(changed_settings(config), tensors)
        tensors = {key: value.to(device, dtype) for key, value in tensors.items()}
        model.load_state_dict(tensors, assign=True)
        model = model.eval().to(memory_format=torch.channels_last_3d)
        model._loaded = name_of_weights, _versions(model)
        return model

    def save_pretrained(self, folder: str | os.PathLike[str], *, dtype: torch.dtype | None = None) -> None:
        """Write the model to `folder`, its parameters rounded to `dtype` if one is given; an older model is replaced.

        Raises FormatError where the folder holds something else, OutputError where it cannot be written.
        """
        assert isinstance(self, nn.Module)
        tensors = {key: value.detach().to("cpu", dtype) for key, value in self.state_dict().items()}
        write_model(Path(folder), self.kind, to_dict(self.config), tensors)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that name this configuration and these weights, whatever type they are held in.

        Weights that were loaded keep the name of the file, also where `dtype` rounded them, until one is changed.
        """
        assert isinstance(self, nn.Module)
        if self._loaded is not None and self._loaded[1] == _versions(self):
            return self._loaded[0]
        return fingerprint(changed_settings(self.config), self.state_dict())


def find_model(kind: str, name: str | os.PathLike[str]) -> Path:
    """Return the folder of a model by embedded name, path or hub id. Raises ModelNotFoundError."""
    embedded = embedded_folder(kind, str(name))
    if embedded is not None:
        return embedded
    if (Path(name) / CONFIG_NAME).is_file():
        return Path(name)
    if Path(name).exists():
        inner = Path(name) / "model"
        hint = f"; did you mean {inner}?" if (inner / CONFIG_NAME).is_file() else ""
        raise ModelNotFoundError(f"{name}: no {CONFIG_NAME} in it; expected a folder written by save_pretrained{hint}")
    if isinstance(name, str) and name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return _download(name)
    known = ", ".join([*ALIASES.get(kind, {}), *embedded_names(kind)]) or "none of this kind"
    raise ModelNotFoundError(f"no {kind} called {name}: expected an embedded name ({known}), a folder, or owner/name")


def read_config(folder: Path, kind: str) -> dict[str, Any]:
    """Return the settings in a model folder's config.json. Raises FormatError for another kind or format version."""
    path = folder / CONFIG_NAME
    try:
        header = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise FormatError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(header, dict) or {"kind", "format_version", "settings"} != set(header):
        raise FormatError(f"{path}: expected the keys kind, format_version and settings")
    if not isinstance(header["settings"], dict):
        raise FormatError(f"{path}: expected the keys and values of a configuration under settings")
    if header["kind"] != kind:
        raise FormatError(f"{path}: holds a model of kind {header['kind']!r}, expected {kind!r}")
    if header["format_version"] != FORMAT_VERSION:
        found = header["format_version"]
        raise FormatError(
            f"{path}: format version {found}, this release reads {FORMAT_VERSION}; install another magvit2"
        )
    settings: dict[str, Any] = header["settings"]
    return settings


def kind_of(folder: Path) -> str:
    """Return the kind of the model in a folder. Raises FormatError where it holds none."""
    path = folder / CONFIG_NAME
    try:
        return str(json.loads(path.read_text())["kind"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise FormatError(f"{path}: cannot be read as a model's configuration ({error})") from error


def write_model(folder: Path, kind: str, settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a model folder, each of its two files whole or not at all; others (a card, a licence) stay.

    Raises FormatError where the folder holds something else, OutputError where it cannot be written.
    """
    if folder.exists() and not _may_hold_model(folder):
        raise FormatError(f"{folder}: is not empty and holds no model; give a new folder")
    with errors_as_output(folder):
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
    header = {"kind": kind, "format_version": FORMAT_VERSION, "settings": dict(settings)}
    write_tensors(folder / TENSORS_NAME, tensors)
    write_text(folder / CONFIG_NAME, json.dumps(header, indent=2) + "\n")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file atomically; metadata are strings. Raises OutputError where it cannot be written."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    contiguous = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    with replacing(path) as temporary:
        try:
            save_file(contiguous, temporary, dict(metadata or {}))
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file. Raises FormatError where it is missing or damaged."""
    return read_tensors_and_metadata(path)[0]


def read_tensors_and_metadata(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return tensors and metadata of a safetensors file. Raises FormatError where it is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise FormatError(f"{path}: cannot be read as safetensors ({error})") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically. Raises OutputError where it cannot be written."""
    with replacing(path) as temporary:
        temporary.write_text(text)


@contextlib.contextmanager
def replacing(path: Path):  # type: ignore[no-untyped-def]
    """Yield a temporary sibling of `path` that takes its place on success and vanishes on failure.

    Raises OutputError where the system lets it not be made, written or put in place.
    """
    with errors_as_output(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_PARTIAL, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder that is whole until it is gone: a kill on the way leaves only a hidden rest of it."""
    doomed = folder.with_name(f".{folder.name}{_REMOVED}")
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    shutil.rmtree(doomed)


def remove_leftovers(folder: Path) -> None:
    """Remove from a folder what killed writers left in it: unfinished files, and rests of folders."""
    for leftover in folder.glob(f".*{_PARTIAL}"):
        if leftover.is_file():
            leftover.unlink()
    for leftover in folder.glob(f".*{_REMOVED}"):
        shutil.rmtree(leftover)


def fingerprint(settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return sixteen hexadecimal digits of the SHA-256 over settings and float32 values, names in order."""
    digest = hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode())
    for key in sorted(tensors):
        values = tensors[key].detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{key}{tuple(values.shape)}".encode())
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()[:16]


def _may_hold_model(folder: Path) -> bool:
    """Whether a folder is a model's, or empty but for what a writer that was killed left behind."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir() if path.suffix != _PARTIAL}
    return CONFIG_NAME in names or names <= {TENSORS_NAME}


def _versions(model: nn.Module) -> tuple[int, ...]:
    """Return how often each parameter and buffer was written to in place."""
    return tuple(tensor._version for tensor in (*model.parameters(), *model.buffers()))


def _check_names(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], folder: Path) -> None:
    wrong = sorted(set(found) ^ set(expected)) or [key for key in expected if found[key].shape != expected[key].shape]
    if wrong:
        raise FormatError(f"{folder}: its tensors do not fit its config.json; the first that differs is {wrong[0]}")


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=[CONFIG_NAME, TENSORS_NAME]))
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelNotFoundError(f"{name}: not a folder here, and the hub did not give it ({reason})") from error
