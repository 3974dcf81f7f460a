"""From a tally to the numbers of a comparison: (name, value) for clips and for images.

Names read KIND/METRIC: `clips/fd-mbv2-t` is of all samples together, `clips/fd-mbv2-t_fold_mean` and `_fold_std` are of
folds; `clips/is` is of all samples, `clips/is_split_mean` and `_split_std` are of splits. A value is nan where there
are too few samples for it; `shortages` says so in words.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from magvit2.evaluation.generation import SCORE, GenerationPanel, fold_name, split_name
from magvit2.evaluation.sides import KINDS, MIN_ITEMS, SIDES, Kind, SideName
from magvit2.evaluation.tally import Record, Tally
from magvit2.features import Embedding
from magvit2.metrics.frechet import Gaussian, frechet_distance
from magvit2.metrics.inception import NUM_SPLITS, ClassScore

Result = tuple[str, float]


@dataclass(frozen=True)
class Score:
    """One metric of one kind: its value over all samples, the values over parts of them, and how many samples each has.

    `num_reference` is None where the reference plays no part. A value is nan where it is of too few.
    """

    kind: Kind
    metric: str
    value: float
    num_samples: int
    num_reference: int | None
    part: Literal["fold", "split"]
    parts: tuple[float, ...] = ()
    part_sizes: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """KIND/METRIC."""
        return f"{self.kind}/{self.metric}"

    @property
    def mean(self) -> float:
        """Mean over the parts."""
        return float(np.mean(self.parts)) if self.parts else math.nan

    @property
    def std(self) -> float:
        """Standard deviation over the parts, over their number."""
        return float(np.std(self.parts)) if self.parts else math.nan

    @property
    def results(self) -> list[Result]:
        """(name, value) of all that it says."""
        whole = [(self.name, self.value)]
        of_parts = [(f"{self.name}_{self.part}_mean", self.mean), (f"{self.name}_{self.part}_std", self.std)]
        return whole + of_parts if self.parts else whole

    @property
    def shortages(self) -> dict[str, str]:
        """Why values are nan, by name."""
        if math.isnan(self.value):
            found = f"{self.num_samples} samples, {self.num_reference} of the reference"
            return {self.name: f"{found} were long enough; expected {MIN_ITEMS} or more of each"}
        if not self.parts or not np.isnan(self.parts).any():
            return {}
        sizes = f"{len(self.parts)} {self.part}s hold {min(self.part_sizes)} to {max(self.part_sizes)} samples"
        needs = "one or more" if self.part == "split" else f"{MIN_ITEMS} or more (--folds 1 takes all together)"
        return {f"{self.name}_{self.part}_mean": f"{sizes}; each expects {needs}"}


@dataclass(frozen=True)
class Counts:
    """Items of a side that count, those left out as too short, and the windows and frames that were seen."""

    items: int
    left_out: int
    windows: int
    frames: int


def count_items(tally: Tally) -> dict[Kind, dict[SideName, Counts]]:
    """Return what was seen of each kind on each side."""
    records = {(kind, side): [r for r in tally.records if (r.cell, r.contender) == (kind, side)]
               for kind in KINDS for side in SIDES}  # fmt: skip
    return {kind: {side: _counts(records[kind, side]) for side in SIDES} for kind in KINDS if records[kind, SIDES[0]]}


def compute_scores(tally: Tally, panel: GenerationPanel, num_folds: int) -> Iterator[Score]:
    """Yield what every metric says of clips, then of images."""
    for kind in count_items(tally):
        for embed in panel.distances:
            if embed.num_frames == 1:
                yield _distance(tally, kind, embed, ["samples"])
            elif kind == "clips":
                yield _distance(tally, kind, embed, [fold_name(number) for number in range(num_folds)])
        if panel.classes is not None:
            yield _class_score(tally, kind)


def _distance(tally: Tally, kind: Kind, embed: Embedding, names: Sequence[str]) -> Score:
    """Return the distance of all samples, and of each part where there are several."""
    parts = [tally.gaussians.get((kind, name, embed.name), Gaussian()) for name in names]
    reference = tally.gaussians.get((kind, "reference", embed.name), Gaussian())
    whole = Gaussian()
    for part in parts:
        whole.merge(part)

    def distance(samples: Gaussian) -> float:
        if min(samples.num_samples, reference.num_samples) < MIN_ITEMS:
            return math.nan
        return frechet_distance(samples, reference, embed.ddof)

    score = Score(kind, embed.name, distance(whole), whole.num_samples, reference.num_samples, "fold")
    if len(parts) == 1:
        return score
    sizes = tuple(part.num_samples for part in parts)
    return replace(score, parts=tuple(distance(part) for part in parts), part_sizes=sizes)


def _class_score(tally: Tally, kind: Kind) -> Score:
    parts = [tally.scores.get((kind, split_name(number), SCORE), ClassScore()) for number in range(NUM_SPLITS)]
    whole = ClassScore()
    for part in parts:
        whole.merge(part)
    values = tuple(part.value if part.num_samples else math.nan for part in parts)
    sizes = tuple(part.num_samples for part in parts)
    value = whole.value if whole.num_samples else math.nan
    return Score(kind, SCORE, value, whole.num_samples, None, "split", values, sizes)


def _counts(records: Sequence[Record]) -> Counts:
    windows = [int(record.values["windows"]) for record in records]
    num_frames = sum(record.num_frames for record in records)
    return Counts(sum(count > 0 for count in windows), windows.count(0), sum(windows), num_frames)
