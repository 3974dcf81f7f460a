"""The demo with language models: samples, a film and a prediction beside the rest."""

from pathlib import Path

import numpy as np
import torch

from magvit2.generating import open_language_model
from magvit2.lm import MaskedLM
from magvit2.recipes.demo import run_demo
from magvit2.tokenizer import Tokenizer
from magvit2.video import open_media, read_image
from tests.cli.running import save_clip
from tests.lms import save_masked
from tests.tiny import save_tiny
from tests.video.making import scene


def test_language_models_add_samples_a_film_and_a_prediction(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "tiny")
    clip = save_clip(tmp_path / "clip.mkv", scene(12, 40, 56))
    lms = {}
    for name, changes in (("default", {}), ("images", {"grid": (1, 2, 3)})):
        lm = open_language_model(str(save_masked(tmp_path / name, model, **changes)), torch.device("cpu"))
        assert isinstance(lm, MaskedLM)
        lms[name] = lm
    report, files = run_demo(
        Tokenizer.from_pretrained(model), clip, tmp_path / "out", lambda label, total: lambda count: None, lms=lms
    )
    names = {path.name for path in files}
    new = {"samples-default.png", "film.mp4", "prediction.mp4", "prediction.png", "samples-images.png"}
    assert new <= names and all(path.exists() for path in files)
    assert report["classes in samples-default.png"] == "run, walk"
    assert np.isfinite(report["PSNR of predicted frames (dB)"])
    with open_media(tmp_path / "out" / "prediction.mp4") as reader:
        assert np.stack(list(reader)).shape == (9, 16, 24, 3)
    assert read_image(tmp_path / "out" / "samples-images.png").shape[0] == 2 * (8 * 16 + 4)
