"""A compiled training is the eager one, adversary and R1 included; without a compiler it ends before it begins."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from magvit2.errors import ConfigError, TrainingError
from magvit2.training.compilation import compile_networks
from tests.training.compiled_run import COMPILED, NUM_STEPS

ROOT = Path(__file__).parents[2]
TIME_LIMIT_S = 1200


def compared(folder: Path, backend: str, num_processes: int) -> dict[str, Any]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}"]
    command = [sys.executable, *(launcher if num_processes > 1 else [])]
    command += ["-m", "tests.training.compiled_run", str(folder / "found.json"), backend]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": str(folder)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return found


@pytest.mark.parametrize(
    ("backend", "num_processes"),
    [
        pytest.param("aot_eager", 1, marks=pytest.mark.slow),
        pytest.param("aot_eager", 2, marks=pytest.mark.slow),
        pytest.param("inductor", 1, marks=pytest.mark.soak),
    ],
)
def test_a_compiled_training_is_the_eager_one(backend: str, num_processes: int, tmp_path: Path) -> None:
    found = compared(tmp_path, backend, num_processes)
    assert len(found["eager"]) == len(found["compiled"]) == NUM_STEPS
    for step, (eager, compiled) in enumerate(zip(found["eager"], found["compiled"], strict=True)):
        assert ("r1" in eager) == (step % 2 == 0) and eager.keys() == compiled.keys()
        for name, value in eager.items():
            assert compiled[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name
    assert found["difference"] < 0.02 and found["same_names"]
    # An addition that tries the compiler, encoder, decoder, and the discriminator as judge and as learner.
    assert found["num_graphs"] >= 5 and found["num_graphs_of_the_average"] == 0


def test_no_compiler_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch._dynamo.reset()
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, str(tmp_path / "none")))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    with pytest.raises(TrainingError) as error:
        compile_networks([torch.nn.Linear(2, 2)], "cpu", 1)
    message = str(error.value)
    assert message.startswith("compile = true: torch.compile has no working compiler for cpu here (")
    assert message.endswith("install one (g++ for a CPU, Triton for a GPU), or set compile=false")
    assert "\n" not in message


def test_what_the_compiler_fails_at_is_refused() -> None:
    for changes in ({"norm": "frame"}, {"norm": "clip", "window": 6}):
        model = dataclasses.replace(COMPILED.model, **changes)
        size = model.space.valid_size((5, 16, 16))
        batches = tuple(dataclasses.replace(each, num_frames=size[0]) for each in COMPILED.batches)
        with pytest.raises(ConfigError, match=f"compile with checkpoint_activations .* norm is '{changes['norm']}'"):
            dataclasses.replace(COMPILED, model=model, batches=batches)
