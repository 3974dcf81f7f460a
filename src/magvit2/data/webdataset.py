"""WebDataset shards: uncompressed tar files in which the files of one sample follow one another and share a key.

The key is a member's folder and its name up to the first dot: `walk/0001.mp4`, `walk/0001.json` and `walk/0001.cls` are
sample `walk/0001`. A sample is one item: its first video or, where it has none, its first image. Its label is the
first of these that there is: the text of `.cls`; "label" or "class" of `.json`; the text of `.txt`, where it is one
line of at most 100 characters (longer ones are captions); the last folder of the key.
"""

import itertools
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from magvit2.data.pack_shards import CLIP_SUFFIXES
from magvit2.data.tars import read_tar
from magvit2.errors import InputError
from magvit2.video import is_image, is_media

_MAX_LABEL = 100
_JSON_NAMES = ("label", "class")


class Sample(NamedTuple):
    """The video or image of a sample: its key, its label, its member's name and where that lies."""

    key: str
    label: str
    name: str
    offset: int
    length: int


def read_samples(path: Path) -> list[Sample]:
    """Return the samples of a shard that have a video or an image, in their order; only headers and labels are read.

    Raises InputError where it is no uncompressed tar file, is cut or damaged, or a label cannot be read, and for a
    shard of a pack.
    """
    samples = []
    for key, files in itertools.groupby(_files(path), lambda file: file.key):
        sample = _sample(path, key, {file.ending: file.member for file in files})
        if sample is not None:
            samples.append(sample)
    return samples


class _File(NamedTuple):
    """A file of a sample: the key, and what stands behind it in small letters, such as `mp4` or `left.png`."""

    key: str
    ending: str
    member: tarfile.TarInfo


def _files(path: Path) -> Iterator[_File]:
    """Yield the members that are files of a sample; names that begin with a dot or `__` are not."""
    for member in read_tar(path):
        if member.name.endswith(CLIP_SUFFIXES):
            raise InputError(f"{path}: is a shard of a pack; give the pack's folder instead")
        folder, slash, name = member.name.removeprefix("./").rpartition("/")
        stem, dot, ending = name.partition(".")
        if member.isreg() and not member.issparse() and stem and dot and not stem.startswith("__"):
            yield _File(folder + slash + stem, ending.lower(), member)


def _sample(path: Path, key: str, members: dict[str, tarfile.TarInfo]) -> Sample | None:
    media = [member for ending, member in members.items() if is_media(f"x.{ending}")]
    if not media:
        return None
    first = next((member for member in media if not is_image(member.name)), media[0])
    name = first.name.removeprefix("./")
    return Sample(key, _label(path, key, members), name, first.offset_data, first.size)


def _label(path: Path, key: str, members: dict[str, tarfile.TarInfo]) -> str:
    texts = {ending: _read_text(path, members[ending]) for ending in ("cls", "json", "txt") if ending in members}
    if "cls" in texts:
        return texts["cls"]
    label = _json_label(path, members["json"].name, texts["json"]) if "json" in texts else ""
    if not label and len(texts.get("txt", "")) <= _MAX_LABEL and "\n" not in texts.get("txt", ""):
        label = texts.get("txt", "")
    return label or key.rpartition("/")[0].rpartition("/")[2]


def _json_label(path: Path, name: str, text: str) -> str:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}/{name}: is no JSON ({error})") from error
    found = [values.get(key) for key in _JSON_NAMES] if isinstance(values, dict) else []
    return next((str(value) for value in found if isinstance(value, str | int | float)), "")


def _read_text(path: Path, member: tarfile.TarInfo) -> str:
    with path.open("rb") as file:
        file.seek(member.offset_data)
        data = file.read(member.size)
    try:
        return data.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}/{member.name}: is no text in UTF-8 ({error.reason})") from error
