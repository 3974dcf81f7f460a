"""Embedded weights: immutable names, the aliases that point at them, and the folders they lie in. Knows no model."""

import json
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

ALIASES = MappingProxyType(
    {
        "tokenizer": MappingProxyType({"default": "clip-b2"}),
        "masked-lm": MappingProxyType({"default": "lm-clips-a1", "images": "lm-images-a1"}),
    }
)
"""Alias to immutable name, by kind of model. An alias moves only together with everything that depends on it."""


def embedded_folder(kind: str, name: str) -> Path | None:
    """Return the folder of the embedded weights called `name` (or its alias), or None where there are none."""
    name = ALIASES.get(kind, MappingProxyType({})).get(name, name)
    if not name or "/" in name or "\\" in name or name.startswith("."):
        return None
    folder = Path(str(files("magvit2"))) / "pretrained" / name
    return folder if (folder / "config.json").is_file() else None


def embedded_names(kind: str | None = None) -> list[str]:
    """Return the immutable names of all embedded weights, or of those of a kind of model."""
    root = Path(str(files("magvit2"))) / "pretrained"
    configs = sorted(root.glob("*/config.json"))
    return [path.parent.name for path in configs if kind in (None, json.loads(path.read_text())["kind"])]
