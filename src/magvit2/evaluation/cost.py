"""What contenders cost: the size and the work of networks, and the time that coding and decoding took.

Sizes and work are exact and the same anywhere; times are of the run that measured them, so they stand beside the
results and never among them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from magvit2.evaluation.contenders import Contender, TokenizerContender
from magvit2.evaluation.tally import Record, Tally
from magvit2.tokenizer import TokenizerConfig, audit

COST_PROTOCOL = (
    "speed: frames over the seconds of coding and decoding them, RGB to RGB, in one process, on this machine, with "
    "whatever else ran on it; a codec that meets a rate makes several attempts, and all count; work: MFLOP (2 x "
    "multiply-add) per pixel of a long clip"
)


@dataclass(frozen=True)
class Cost:
    """Speed over the items whose time was kept, None where there are none; size and work, None without networks."""

    num_frames: int
    coding_s: float
    frames_per_s: float | None
    megapixels_per_s: float | None
    parameters: int | None = None
    encoder_mflop_per_pixel: float | None = None
    decoder_mflop_per_pixel: float | None = None


def configs_of(contenders: Iterable[Contender]) -> dict[str, TokenizerConfig]:
    """Return the configurations of the tokenizers among contenders, by name."""
    return {each.name: each.config for each in contenders if isinstance(each, TokenizerContender)}


def costs(tally: Tally, contenders: Sequence[str], configs: Mapping[str, TokenizerConfig]) -> dict[str, Cost]:
    """Return what each contender costs."""
    found = {name: _speed([record for record in tally.records if record.contender == name]) for name in contenders}
    for name, config in configs.items():
        sizes = audit(config)
        found[name] = replace(
            found[name],
            parameters=sizes.num_parameters,
            encoder_mflop_per_pixel=sizes.encoder_mflop_per_pixel,
            decoder_mflop_per_pixel=sizes.decoder_mflop_per_pixel,
        )
    return found


def _speed(records: Sequence[Record]) -> Cost:
    timed = [(record, record.coding_s) for record in records if record.coding_s is not None]
    coding_s = sum(seconds for _, seconds in timed)
    num_frames = sum(record.num_frames for record, _ in timed)
    num_pixels = sum(record.num_pixels for record, _ in timed)
    if not coding_s:
        return Cost(num_frames, 0.0, None, None)
    return Cost(num_frames, coding_s, num_frames / coding_s, num_pixels / coding_s / 1e6)
