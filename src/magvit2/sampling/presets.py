"""Settings of published results, by name. What is sure about them, and what is not, is said beside each."""

from types import MappingProxyType

from magvit2.errors import ConfigError
from magvit2.sampling.settings import Guidance, MaskedSampling
from magvit2.schema import did_you_mean

# Steps, temperatures and scales of MAGVIT-v2 are from notes on its appendix, not from its text or from code. Its 25 may
# count from 1, as MDT's scales do, whose schedule it takes; it would be 24 then. The power of the schedule is MDT's.
_V2_GUIDANCE = Guidance(25.0, "power-cosine", power=4.0)

MASKED_PRESETS: MappingProxyType[str, MaskedSampling] = MappingProxyType(
    {
        # MAGVIT-v2, table 2: FID 4.61 with 12 steps, 3.07 with 64, 1.91 with 64 and guidance. The unit is not stated.
        "magvit2-imagenet-512-12": MaskedSampling(12, choice_temperature=30.0),
        "magvit2-imagenet-512-64": MaskedSampling(64, choice_temperature=30.0),
        "magvit2-imagenet-512-guided": MaskedSampling(64, choice_temperature=15.0, guidance=_V2_GUIDANCE),
        # MAGVIT-v2, table 7: FID 3.65, 1.78 with guidance. From one set of notes alone.
        "magvit2-imagenet-256": MaskedSampling(64, choice_temperature=15.0),
        "magvit2-imagenet-256-guided": MaskedSampling(64, choice_temperature=15.0, guidance=_V2_GUIDANCE),
        # MAGVIT-v2, table 1: Kinetics-600 FVD 5.2 with 12 steps, 4.3 with 24; UCF-101 58 with 24.
        "magvit2-video-12": MaskedSampling(12, choice_temperature=32.0),
        "magvit2-video-24": MaskedSampling(24, choice_temperature=32.0),
        # MAGVIT (arXiv 2212.05199), its text and code: sure.
        "magvit-ucf101": MaskedSampling(12, choice_temperature=4.5),
        "magvit-bair": MaskedSampling(12, "exp", choice_temperature=400.0),
        "magvit-k600": MaskedSampling(12, "linear", choice_temperature=7.5),
        # MaskGIT (arXiv 2202.04200), its text and code: sure; FID 6.18.
        "maskgit-256": MaskedSampling(8, choice_temperature=4.5),
        # MaskBit (arXiv 2409.16211), the paper's best for 18 bits: sure but for the power, given as 2.5 to 3.
        "maskbit-256": MaskedSampling(
            64, "arccos", choice_temperature=8.5, guidance=Guidance(5.8, "power-cosine", power=3.0), unit="factor"
        ),
    }
)


def masked_preset(name: str) -> MaskedSampling:
    """Return the settings called `name`. Raises ConfigError, naming them all."""
    if name not in MASKED_PRESETS:
        known = ", ".join(MASKED_PRESETS)
        raise ConfigError(f"sampling {name!r}: expected one of {known}{did_you_mean(name, MASKED_PRESETS)}")
    return MASKED_PRESETS[name]
