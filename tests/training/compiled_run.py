"""A training of a few steps, and the same one compiled: [torchrun] -m tests.training.compiled_run FILE BACKEND.

In a process of its own, without the checks of shapes that tests have: those would be compiled too. The backend
"aot_eager" traces and differentiates as "inductor" does, and then calls torch's own kernels: seconds, not minutes.
"""

import dataclasses
import functools
import json
import sys
from pathlib import Path

import torch
from torch._dynamo.utils import counters

from magvit2.tokenizer import TokenizerConfig
from magvit2.training.distributed import joined, rank
from tests.training.stepping import JUDGED, begun, take_steps, weights

# The fewest layers: compiling takes a second for each.
SMALLEST = dataclasses.replace(
    JUDGED,
    model=TokenizerConfig(
        num_bits=6,
        base_channels=4,
        channel_multipliers=(1, 1),
        temporal_downsample=(True,),
        num_encoder_blocks=1,
        num_decoder_blocks=1,
        num_mid_blocks=0,
        norm="position",
    ),
    discriminator=dataclasses.replace(JUDGED.discriminator, channel_multipliers=(1,)),
)
COMPILED = dataclasses.replace(SMALLEST, compile=True, checkpoint_activations=True)
NUM_STEPS = 4


def compare() -> dict[str, object]:
    (state, goal), (compiled, compiled_goal) = begun(SMALLEST), begun(COMPILED)
    before = weights(state)
    eager_steps = [report.values for report in take_steps(state, goal, NUM_STEPS)]
    compiled_steps = [report.values for report in take_steps(compiled, compiled_goal, NUM_STEPS)]
    after, found = weights(state), weights(compiled)
    ends = [torch.cat([(end[name] - before[name]).flatten() for name in before]) for end in (after, found)]
    num_graphs = counters["stats"]["unique_graphs"]
    compiled.average(torch.zeros(1, 3, 9, 16, 16))  # a shape that the model never saw
    return {
        "eager": eager_steps,
        "compiled": compiled_steps,
        "difference": ((ends[1] - ends[0]).norm() / ends[0].norm()).item(),
        "same_names": list(after) == list(found),
        "num_graphs": num_graphs,
        "num_graphs_of_the_average": counters["stats"]["unique_graphs"] - num_graphs,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.compile = functools.partial(torch.compile, backend=sys.argv[2])
    with joined("cpu"):
        found = compare()
        if rank() == 0:
            Path(sys.argv[1]).write_text(json.dumps(found))
