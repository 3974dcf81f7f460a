"""The verbs generate and predict: language models make clips and images."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from magvit2.cli.common import ModelOptions, Options, check_output, load_tokenizer, show

if TYPE_CHECKING:
    from magvit2.generating import LanguageModel, Sampling

_Number = Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the preset's)")]
_Share = Annotated[float | None, arg(metavar="X", help_behavior_hint="(default: the preset's)")]
_MaskSchedule = Literal["cosine", "linear", "square", "cubic", "sqrt", "arccos", "exp"]
_GuidanceSchedule = Literal["constant", "linear", "power-cosine"]


@dataclass(frozen=True)
class SamplingOptions:
    """How it is sampled."""

    lm: Annotated[str, arg(metavar="MODEL")] = "default"
    """language model: embedded name, model folder, or owner/name on the hub."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """seed of the first sample; the next ones have the next."""
    preset: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: none)")] = None
    """settings of a paper, such as magvit2-video-12; what is given besides changes them."""
    steps: _Number = None
    """passes of a masked model, 1 to 256."""
    schedule: Annotated[_MaskSchedule | None, arg(help_behavior_hint="(default: the preset's)")] = None
    """share that is still masked after each of them."""
    temperature: _Share = None
    """of the softmax that values are drawn from."""
    choice_temperature: _Share = None
    """noise in what stands after a step: what papers call the temperature."""
    top_k: _Number = None
    """draw from the K likeliest values."""
    top_p: _Share = None
    """draw from the likeliest values that reach P together."""
    guidance: _Share = None
    """scale of classifier-free guidance; 0 is none."""
    guidance_schedule: Annotated[_GuidanceSchedule | None, arg(help_behavior_hint="(default: the preset's)")] = None
    """how that scale changes while sampling."""


Sampled = Annotated[SamplingOptions, arg(name="")]


def generate(
    out: Annotated[Path, arg(metavar="DIR")],
    classes: Annotated[
        tuple[str, ...], arg(name="class", metavar="NAME ...", help_behavior_hint="(default: all of the model's)")
    ] = (),
    num: Annotated[int, arg(metavar="N")] = 4,
    frames: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the model's)")] = None,
    film: Annotated[bool, arg(help_behavior_hint="")] = False,
    sampling: Sampled = SamplingOptions(),
    options: Options = ModelOptions(),  # noqa: B008 - frozen
) -> None:
    """Generate clips or images of classes: files, a contact sheet and a report in a folder.

    Args:
        out: folder for what is made; made if it is missing.
        classes: classes by name or number; "none" is a clip of no class. Those of photographs need --lm images.
        num: samples of each class.
        frames: frames of each clip; beyond the model's own its window moves on.
        film: also write film.mp4, which shows the guesses of masked sampling after each step.
        sampling: how it is sampled, and by which model.
        options: the tokenizer and where both run.
    """
    from magvit2.errors import InputError
    from magvit2.recipes.samples import write_film, write_samples

    if num < 1 or (frames is not None and frames < 1):
        raise InputError(f"--num {num}, --frames {frames}: expected 1 or more")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; give a folder")
    lm, tokenizer, settings = _open(sampling, options)
    config = lm.config
    if film and lm.kind == "causal-lm":
        raise InputError(f"--film shows the steps of masked sampling, and {sampling.lm} is a causal model")
    names = classes or (config.class_names or tuple(map(str, range(config.num_classes))) or ("none",))
    labels = [config.num_classes if name == "none" else config.class_index(name) for name in names]
    started_s = time.perf_counter()
    seeds = [sampling.seed + index for index in range(num)]
    made = write_samples(tokenizer, lm, labels, seeds, settings, out, frames)
    elapsed_s = time.perf_counter() - started_s
    files = [path.name for path in made]
    if film:
        files.append(write_film(tokenizer, lm, labels, seeds, settings, out).name)
    rows = {
        "samples": len(labels) * num,
        "classes": ", ".join(names),
        "frames (T, H, W)": list(config.space.size_for(config.grid)) if frames is None else frames,
        "seconds a sample": elapsed_s / (len(labels) * num),
        "language model": lm.fingerprint,
        "tokenizer": tokenizer.fingerprint,
        "look at": str(out / "samples.png"),
        "files": len(files),
    }
    show(f"generated in {out}", rows, options.json)


def predict(
    source: Annotated[Positional[Path], arg(metavar="IN")],
    target: Annotated[Positional[Path], arg(metavar="OUT")],
    task: Literal["predict", "interpolate", "inpaint", "outpaint"] = "predict",
    given: Annotated[int, arg(metavar="N")] = 5,
    box: Annotated[
        tuple[int, int, int, int] | None,
        arg(metavar="TOP LEFT HEIGHT WIDTH", help_behavior_hint="(default: the middle half)"),
    ] = None,
    frames: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the model's)")] = None,
    fit: Annotated[bool, arg(help_behavior_hint="")] = False,
    class_name: Annotated[str | None, arg(name="class", metavar="NAME", help_behavior_hint="(default: none)")] = None,
    sampling: Sampled = SamplingOptions(),
    options: Options = ModelOptions(),  # noqa: B008 - frozen
) -> None:
    """Go on with a clip, or fill in the part of it that is not given.

    Args:
        source: video, image or folder of frames that a part is given of.
        target: video (or folder of frames) to write; beside it OUT.png with what was given, made and, where the source
            goes on, true.
        task: predict gives the first frames, interpolate those and the last, inpaint all but a box, outpaint the box.
        given: frames that are given from the start: 1, 5, 9, ... (whole latents of 4, after the first).
        box: the box of inpaint and outpaint, in pixels, on multiples of 8.
        frames: frames of the whole clip; beyond the model's own its window moves on (predict alone).
        fit: scale and cut the source to the model's height and width.
        class_name: class of the clip.
        sampling: how it is sampled, and by which model.
        options: the tokenizer and where both run.
    """
    from magvit2.generating import Given
    from magvit2.recipes.samples import read_source, write_prediction

    check_output(target, source)
    lm, tokenizer, settings = _open(sampling, options)
    label = None if class_name is None else lm.config.class_index(class_name)
    clip = read_source(source, lm.config, frames, fit=fit)
    report = write_prediction(
        tokenizer, lm, clip, Given(task, given, box), settings, target, num_frames=frames, label=label,
        seed=sampling.seed,
    )  # fmt: skip
    show(f"{source} -> {target}", report, options.json)


def _open(sampling: SamplingOptions, options: ModelOptions) -> "tuple[LanguageModel, Any, Sampling]":
    """Return the language model, the tokenizer and the settings. Raises InputError for settings that are not its."""
    from magvit2.generating import check_made_for, open_language_model

    tokenizer = load_tokenizer(options)
    lm = open_language_model(sampling.lm, tokenizer.device, tokenizer.dtype)
    check_made_for(tokenizer, lm)
    return lm, tokenizer, _settings(lm, sampling)


def _settings(lm: "LanguageModel", chosen: SamplingOptions) -> "Sampling":
    from dataclasses import replace

    from magvit2.errors import InputError
    from magvit2.lm import CausalLM
    from magvit2.sampling import CausalSampling, MaskedSampling, masked_preset

    of_masked: dict[str, Any] = {
        "num_steps": chosen.steps,
        "schedule": chosen.schedule,
        "choice_temperature": chosen.choice_temperature,
    }
    of_both: dict[str, Any] = {"temperature": chosen.temperature, "top_k": chosen.top_k, "top_p": chosen.top_p}
    if isinstance(lm, CausalLM):
        wrong = [name for name, value in {**of_masked, "preset": chosen.preset}.items() if value is not None]
        if wrong:
            raise InputError(f"{', '.join(wrong)}: settings of masked sampling, and {chosen.lm} is a causal model")
        base: Sampling = CausalSampling()
        changes = of_both
    else:
        base = MaskedSampling() if chosen.preset is None else masked_preset(chosen.preset)
        if chosen.preset is None and lm.config.tokens == "bits":
            base = replace(base, unit="factor")
        changes = of_masked | of_both
    guidance = {"scale": chosen.guidance, "schedule": chosen.guidance_schedule}
    changes |= {"guidance": replace(base.guidance, **_given(guidance))}
    return replace(base, **_given(changes))


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
