"""The state of an evaluation: a few numbers for each item, accumulators for what is said of all; one file holds it.

Memory does not grow with frames or features. Parts that other processes have measured are merged; the records come into
the order of the items, so that the figures do not depend on who measured what.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from magvit2.errors import FormatError, InputError
from magvit2.metrics.frechet import Gaussian
from magvit2.metrics.inception import ClassScore
from magvit2.metrics.rate import IdRate
from magvit2.store import read_tensors_and_metadata, write_tensors
from magvit2.tokens import TokenSpace

FORMAT = "magvit2 evaluation 1"
ORIGINAL = ""
"""The contender whose features are those of the items themselves."""

_SEPARATOR = "\t"


@dataclass(frozen=True)
class Record:
    """One item under one contender; `cell` is its group and kind, `values` are by metric, where the metric applies.

    `coding_s` is how long coding and decoding took; None where an older version, which kept no times, has measured it.
    """

    index: int
    item: str
    cell: str
    contender: str
    num_frames: int
    num_pixels: int
    num_bits: float
    setting: str
    values: dict[str, float]
    coding_s: float | None = None

    @property
    def bits_per_pixel(self) -> float:
        """Bits over the pixels of all frames."""
        return self.num_bits / self.num_pixels


@dataclass
class Tally:
    """What is known so far: records; Gaussians of features and scores of class probabilities by (cell, contender,
    metric); ids by (cell, contender).
    """

    records: list[Record] = field(default_factory=list)
    gaussians: dict[tuple[str, str, str], Gaussian] = field(default_factory=dict)
    rates: dict[tuple[str, str], IdRate] = field(default_factory=dict)
    scores: dict[tuple[str, str, str], ClassScore] = field(default_factory=dict)

    @property
    def done(self) -> set[int]:
        """Indices of the items that are measured."""
        return {record.index for record in self.records}

    def add_features(self, cell: str, contender: str, metric: str, features: Tensor) -> None:
        """Count features [n, d]. Raises InputError for NaN or infinity."""
        self.gaussians.setdefault((cell, contender, metric), Gaussian()).add(features)

    def add_probabilities(self, cell: str, contender: str, metric: str, probabilities: Tensor) -> None:
        """Count class probabilities [n, k]. Raises InputError where they are none."""
        self.scores.setdefault((cell, contender, metric), ClassScore()).add(probabilities)

    def add_ids(self, cell: str, contender: str, space: TokenSpace, ids: Tensor, num_pixels: int) -> None:
        """Count the ids [t, h, w] of one clip."""
        self.rates.setdefault((cell, contender), IdRate(space)).add(ids, num_pixels)

    def merge(self, other: "Tally") -> None:
        """Take over what another part has measured; its items must be others. Raises InputError where they are not."""
        twice = self.done & other.done
        if twice:
            raise InputError(f"item {min(twice)} was measured twice; start again in another folder")
        self.records = sorted([*self.records, *other.records], key=lambda record: record.index)
        for key, gaussian in other.gaussians.items():
            self.gaussians.setdefault(key, Gaussian()).merge(gaussian)
        for key, score in other.scores.items():
            self.scores.setdefault(key, ClassScore()).merge(score)
        for place, rate in other.rates.items():
            self.rates.setdefault(place, IdRate(rate.space)).merge(rate)

    def save(self, path: Path, settings: dict[str, Any]) -> None:
        """Write everything to one safetensors file, atomically, with the settings that it holds for."""
        tensors = {"records": _to_bytes([asdict(record) for record in self.records])}
        for key, gaussian in self.gaussians.items():
            tensors |= {_name("gaussian", *key, part): value for part, value in gaussian.to_tensors().items()}
        for key, score in self.scores.items():
            tensors |= {_name("score", *key, part): value for part, value in score.to_tensors().items()}
        for place, rate in self.rates.items():
            tensors |= {_name("ids", *place, part): value for part, value in rate.to_tensors().items()}
        spaces = [[*place, _space_values(rate.space)] for place, rate in self.rates.items()]
        metadata = {"format": FORMAT, "settings": json.dumps(settings), "spaces": json.dumps(spaces)}
        write_tensors(path, tensors, metadata)

    @classmethod
    def load(cls, path: Path) -> "tuple[Tally, dict[str, Any]]":
        """Return what `save` has written, and its settings. Raises FormatError for anything else."""
        tensors, metadata = read_tensors_and_metadata(path)
        if metadata.get("format") != FORMAT:
            raise FormatError(f"{path}: format {metadata.get('format')!r}, expected {FORMAT!r}")
        try:
            records = [Record(**values) for values in _from_bytes(tensors.pop("records"))]
            tree = _tree(tensors)
            spaces = {(cell, contender): _space(values) for cell, contender, values in json.loads(metadata["spaces"])}
            gaussians = {key[1:]: Gaussian.from_tensors(parts) for key, parts in tree.items() if key[0] == "gaussian"}
            scores = {key[1:]: ClassScore.from_tensors(parts) for key, parts in tree.items() if key[0] == "score"}
            rates = {
                key[1:]: IdRate.from_tensors(spaces[key[1], key[2]], parts)
                for key, parts in tree.items()
                if key[0] == "ids"
            }
            settings: dict[str, Any] = json.loads(metadata["settings"])
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"{path}: is damaged ({type(error).__name__}: {error})") from error
        return cls(records, gaussians, rates, scores), settings  # type: ignore[arg-type]


def merged(parts: Iterable[Tally]) -> Tally:
    """Return all parts as one, the parts left as they are."""
    total = Tally()
    for part in parts:
        total.merge(part)
    return total


def _name(*words: str) -> str:
    return _SEPARATOR.join(words)


def _tree(tensors: dict[str, Tensor]) -> dict[tuple[str, ...], dict[str, Tensor]]:
    """Return tensors called `a<tab>b<tab>part` as {(a, b): {part: tensor}}."""
    tree: dict[tuple[str, ...], dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        *key, part = name.split(_SEPARATOR)
        tree.setdefault(tuple(key), {})[part] = tensor
    return tree


def _to_bytes(value: Any) -> Tensor:
    """Return JSON as a tensor: a safetensors header takes no more than 100 MB."""
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def _from_bytes(tensor: Tensor) -> Any:
    return json.loads(tensor.numpy().tobytes())


def _space_values(space: TokenSpace) -> dict[str, Any]:
    return {"radices": list(space.radices), "strides": list(space.strides), "is_causal": space.is_causal}


def _space(values: dict[str, Any]) -> TokenSpace:
    return TokenSpace(tuple(values["radices"]), tuple(values["strides"]), values["is_causal"])
