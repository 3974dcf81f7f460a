"""The error tree: every failure that magvit2 raises on purpose descends from `Magvit2Error`.

A message is one line that says what was given, what was expected and what to do. The command line prints that line and
exits with 1; library users catch `Magvit2Error` or one of its children.
"""


class Magvit2Error(Exception):
    """Root of every error that magvit2 raises."""


class ConfigError(Magvit2Error, ValueError):
    """A configuration, preset or recipe is not valid (unknown key, impossible value)."""


class InputError(Magvit2Error, ValueError):
    """A caller's tensor or argument has the wrong shape, type or range."""


class MediaError(Magvit2Error, OSError):
    """A video, an image or a folder of frames cannot be read or written."""


class FormatError(Magvit2Error, ValueError):
    """A model folder, checkpoint or token file is damaged, foreign or of an unknown version."""


class ModelNotFoundError(Magvit2Error, LookupError):
    """A model's name, folder or hub id leads to no model."""


class MissingDependencyError(Magvit2Error, ImportError):
    """An optional package is needed; the message names the extra that brings it."""


class TrainingError(Magvit2Error, RuntimeError):
    """A training run cannot start, go on or be resumed."""
