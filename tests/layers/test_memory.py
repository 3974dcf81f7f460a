"""What is remembered of a chunk is a copy of its last frames, in one place: never a view that keeps the whole chunk."""

import torch

from magvit2.layers.conv import CausalConv3d
from magvit2.layers.memory import Memory


def test_what_is_kept_is_as_large_as_the_frames_that_are_needed() -> None:
    for kernel in ((1, 1, 1), (3, 1, 1), (1, 3, 3)):
        conv, memory = CausalConv3d(2, 2, kernel), Memory()
        for length in (1, 4, 4):
            conv(torch.randn(1, 2, length, 5, 5), memory)
            tail = memory.get(conv)
            assert tail is not None and tail.shape[2] == kernel[0] - 1
            assert tail.untyped_storage().nbytes() == tail.numel() * tail.element_size()


def test_the_next_tail_takes_the_place_of_the_one_before() -> None:
    layer, memory = CausalConv3d(1, 1, (1, 1, 1)), Memory()
    assert memory.get(layer) is None
    memory.put(layer, torch.zeros(1, 1, 2, 3, 3))
    kept = memory.get(layer)
    memory.put(layer, torch.ones(1, 1, 2, 3, 3))
    assert memory.get(layer) is kept and kept is not None and kept.eq(1).all()
    memory.put(layer, torch.ones(1, 1, 2, 4, 4))
    assert memory.get(layer) is not kept
