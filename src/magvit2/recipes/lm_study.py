"""What language models make, measured: Fréchet distances over steps and guidance, classes, nearness to training clips.

    python -m magvit2.recipes.lm_study --lm runs/lm-video/best --data DATA --groups sprites --nets NETS --out OUT

Items of `train` and `val` of the data are looked at as the model makes clips: as many first frames, scaled and cut to
its size. Distances are to `val`: of real `train` items (the floor), of their reconstructions (the ceiling of any
language model on these tokens), and of samples whose classes are those of `val`. All of as many clips. Each row is kept
in OUT/rows.json and not measured again. A row says how many a linear classifier takes for their class (it learnt real
`train` clips and their reconstructions), and what share of samples is nearer to a training clip than a held-out one is,
both as the tokenizer reconstructs them: a sample cannot be sharper than that.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from magvit2.data.frames import read_item, to_clip, to_frames
from magvit2.data.items import MediaItem, find, only_groups
from magvit2.errors import InputError, Magvit2Error
from magvit2.evaluation.memory import LinearClassifier, nearest, share_nearer
from magvit2.features import load_mobilenet_embedding
from magvit2.generating import LanguageModel, generate, open_language_model
from magvit2.lm import CausalLM
from magvit2.metrics.frechet import FRAMES_PER_PASS, Gaussian, frechet_distance
from magvit2.metrics.motion import load_motion_embedding
from magvit2.recipes.samples import contact_sheet, fitted
from magvit2.runtime import tune
from magvit2.sampling import CausalSampling, Guidance, MaskedSampling
from magvit2.store import write_text
from magvit2.tokenizer import Tokenizer
from magvit2.video import write_image

Clips = UInt8[np.ndarray, "n T H W 3"]

_SHOWN = 6


class Looked(NamedTuple):
    """Features of clips: of their middle frames, and of how they move where they do."""

    frames: Float[Tensor, "n d"]
    motion: Float[Tensor, "n q"] | None


class Study:
    """What all rows share: real clips of both splits with their features, a classifier, the models."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.tokenizer = Tokenizer.from_pretrained(given.model)
        self.lms = {name: open_language_model(name, torch.device("cpu")) for name in given.lm}
        config = next(iter(self.lms.values())).config
        self.size, self.names = config.space.size_for(config.grid), config.class_names
        self._embed = load_mobilenet_embedding(given.nets)
        self._embed_motion = load_motion_embedding(given.nets, num_frames=self.size[0]) if self.size[0] > 2 else None
        self.train, self.train_labels = self._read("train", given.num_train)
        self.val, self.val_labels = self._read("val", given.num)
        self.of_val = self.look(self.val)
        self.rebuilt = reconstructed(self.tokenizer, self.train)
        self.of_rebuilt = self.look(self.rebuilt).frames
        both = torch.cat([self.look(self.train).frames, self.of_rebuilt])
        self.classifier = LinearClassifier(both, self.train_labels.repeat(2), len(self.names))
        rebuilt_val = self.look(reconstructed(self.tokenizer, self.val)).frames
        self.held_out = nearest(rebuilt_val, self.of_rebuilt).distances

    def look(self, clips: Clips) -> Looked:
        """Return features of clips."""
        middle = clips[:, clips.shape[1] // 2]
        frames = torch.cat(
            [self._embed(middle[i : i + FRAMES_PER_PASS]) for i in range(0, len(clips), FRAMES_PER_PASS)]
        )
        return Looked(frames, None if self._embed_motion is None else self._embed_motion(clips))

    def row(self, name: str, clips: Clips, labels: Int[Tensor, " n"], elapsed_s: float = 0.0) -> dict[str, Any]:
        """Return what there is to say of clips of classes."""
        looked = self.look(clips)
        row = {"what": name, "clips": len(clips), "fd-mbv2": distance(looked.frames, self.of_val.frames)}
        if looked.motion is not None and self.of_val.motion is not None:
            row["fd-mbv2-t"] = distance(looked.motion, self.of_val.motion)
        row["class accuracy"] = self.classifier.accuracy(looked.frames, labels)
        if elapsed_s:
            near = nearest(looked.frames, self.of_rebuilt)
            row |= {"nearer than val": share_nearer(near.distances, self.held_out)}
            row |= {"seconds a clip": elapsed_s / len(clips)}
        return row

    def samples(self, lm: LanguageModel, settings: MaskedSampling | CausalSampling) -> tuple[Clips, float]:
        """Return a sample of each val clip's class, and how long all took in seconds."""
        start = time.perf_counter()
        seeds = list(range(len(self.val_labels)))
        made = [s.frames for s in generate(self.tokenizer, lm, self.val_labels.tolist(), seeds, settings)]
        return np.stack(made), time.perf_counter() - start

    def _read(self, split: Any, count: int) -> tuple[Clips, Int[Tensor, " n"]]:
        found = find(self.given.data, split).items
        items = only_groups(found, self.given.groups) if self.given.groups else found
        usable = [item for item in items if item.label in self.names]
        clips: list[np.ndarray] = []
        labels: list[int] = []
        for item in _spread(usable, count):
            clip = self._first_frames(item)
            if clip is not None:
                clips.append(clip)
                labels.append(self.names.index(item.label))
        if not clips:
            raise InputError(f"{self.given.data}: expected {split} items of the model's classes, found none")
        return np.stack(clips), torch.tensor(labels)

    def _first_frames(self, item: MediaItem) -> np.ndarray | None:
        frames = read_item(item, 0, self.size[0])
        return fitted(frames, *self.size[1:]) if len(frames) == self.size[0] else None


def distance(one: Float[Tensor, "n d"], two: Float[Tensor, "m d"]) -> float:
    """Return the Fréchet distance of two sets of features."""
    sides = Gaussian(), Gaussian()
    for side, features in zip(sides, (one, two), strict=True):
        side.add(features)
    return frechet_distance(*sides)


def rows_of(study: Study) -> Any:
    """Yield (name, function that measures a row): floor, ceiling, then each model's sweeps."""
    half = len(study.val)
    some = torch.linspace(0, len(study.train) - 1, min(half, len(study.train))).long()
    train, rebuilt, labels = study.train[some], study.rebuilt[some], study.train_labels[some]
    yield "real train clips", lambda: study.row("real train clips", train, labels)
    yield "reconstructions", lambda: study.row("reconstructions", rebuilt, labels)
    for name, lm in study.lms.items():
        for title, settings in sweep(lm, study.given):
            yield (
                f"{name}: {title}",
                lambda name=f"{name}: {title}", lm=lm, settings=settings: _sampled(study, name, lm, settings),
            )


def _sampled(study: Study, name: str, lm: LanguageModel, settings: MaskedSampling | CausalSampling) -> dict[str, Any]:
    clips, elapsed_s = study.samples(lm, settings)
    path = study.given.out / f"{''.join(c if c.isalnum() else '-' for c in name)}.png"
    write_image(path, beside_nearest(study, clips))
    return study.row(name, clips, study.val_labels, elapsed_s)


def sweep(lm: LanguageModel, given: argparse.Namespace) -> Any:
    """Yield the settings that a model is sampled with, and what they are called."""
    if isinstance(lm, CausalLM):
        for scale in given.guidance:
            yield f"causal, guidance {scale:g}", CausalSampling(guidance=Guidance(scale))
        return
    base = MaskedSampling(choice_temperature=given.choice_temperature)
    base = dataclasses.replace(base, unit="factor") if lm.config.tokens == "bits" else base
    for steps in given.steps:
        yield f"{steps} steps", dataclasses.replace(base, num_steps=steps)
    for scale in given.guidance:
        if scale:
            yield f"12 steps, guidance {scale:g}", dataclasses.replace(base, num_steps=12, guidance=Guidance(scale))
    for choice in given.choice_temperatures:
        yield f"12 steps, choice temperature {choice:g}", dataclasses.replace(base, choice_temperature=choice)


def reconstructed(tokenizer: Tokenizer, clips: Clips) -> Clips:
    """Return clips through the tokenizer."""
    return np.stack([to_frames(tokenizer.decode(tokenizer.encode(to_clip(clip)))[0])[: len(clip)] for clip in clips])


def beside_nearest(study: Study, clips: Clips) -> UInt8[np.ndarray, "Y X 3"]:
    """Return a sheet: in each row a few samples, below them their nearest training clips."""
    near = nearest(study.look(clips[: 2 * _SHOWN]).frames, study.of_rebuilt).places.tolist()
    rows: list[list[np.ndarray]] = []
    for start in range(0, min(len(clips), 2 * _SHOWN), _SHOWN):
        part = range(start, min(start + _SHOWN, len(clips)))
        rows += [[clips[index] for index in part], [study.rebuilt[near[index]] for index in part]]
    return contact_sheet([row for row in rows if len(row) == len(rows[0])])


def _spread(items: Sequence[MediaItem], count: int) -> list[MediaItem]:
    """Return `count` items at most, evenly."""
    chosen = len(items) > count
    return [items[place * len(items) // count] for place in range(count)] if chosen else list(items)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    given = _parser().parse_args(arguments)
    try:
        _run(given)
    except Magvit2Error as error:
        sys.stderr.write(f"magvit2: {error}\n")
        return 1
    return 0


def _run(given: argparse.Namespace) -> None:
    tune(given.threads)
    path = given.out / "rows.json"
    given.out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    study = Study(given)
    for name, measure in rows_of(study):
        if name not in rows:
            rows[name] = measure()
            write_text(path, json.dumps(rows, indent=2) + "\n")
            sys.stderr.write(f"{json.dumps(rows[name])}\n")
    sys.stdout.write(table(list(rows.values())))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as a Markdown table."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[_cell(row.get(column)) for column in columns] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "-" if value is None else str(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m magvit2.recipes.lm_study", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--lm", nargs="+", default=["default"], help="language models of one tokenizer")
    parser.add_argument("--model", default="default", help="the tokenizer")
    parser.add_argument("--data", type=Path, required=True, help="a source with splits train and val and labels")
    parser.add_argument("--groups", nargs="*", default=[], help="groups of it (default: all)")
    parser.add_argument("--nets", type=Path, required=True, help="folder of the metrics' networks")
    parser.add_argument("--out", type=Path, required=True, help="folder for rows.json and sheets")
    parser.add_argument("--num", type=int, default=500, help="clips a row (default: 500)")
    parser.add_argument("--num-train", type=int, default=2000, help="training clips to look for copies of")
    parser.add_argument("--steps", type=int, nargs="*", default=[4, 8, 12, 24, 64])
    parser.add_argument("--guidance", type=float, nargs="*", default=[0.0, 1.0, 2.0, 4.0])
    parser.add_argument("--choice-temperature", type=float, default=4.5)
    parser.add_argument("--choice-temperatures", type=float, nargs="*", default=[1.0, 2.0, 9.0])
    parser.add_argument("--threads", type=int, help="CPU threads")
    return parser


if __name__ == "__main__":
    sys.exit(main())
