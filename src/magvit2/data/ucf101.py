"""UCF-101's official lists of split 1, `trainlist01.txt` and `testlist01.txt`, where they lie near a source."""

from pathlib import Path

from magvit2.errors import InputError

_LISTS = {"train": "trainlist01.txt", "test": "testlist01.txt"}


def find_ucf_list(source: Path, split: str) -> Path | None:
    """Return UCF-101's list of a split, None for other sources. Raises InputError for a split that it has not.

    The lists lie in the source, beside it, or in a folder `ucfTrainTestlist` in either place.
    """
    if not source.is_dir():
        return None
    folders = [place / name for place in (source, source.parent) for name in ("", "ucfTrainTestlist")]
    folder = next((folder for folder in folders if all((folder / n).is_file() for n in _LISTS.values())), None)
    if folder is None:
        return None
    if split not in _LISTS:
        raise InputError(f"{source}: UCF-101 has no split {split!r}; expected train or test")
    return folder / _LISTS[split]


def read_ucf_list(source: Path, path: Path) -> list[str]:
    """Return the clips of a list, `CLASS/NAME.avi [LABEL]` a line. Raises InputError where `source` lacks one."""
    names = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    missing = [name for name in names if not (source / name).is_file()]
    if missing or not names:
        first = f"{len(missing)} of {len(names)} are missing in {source}, {missing[0]} first" if missing else "is empty"
        raise InputError(f"{path}: {first}; expected every clip of the list")
    return names
