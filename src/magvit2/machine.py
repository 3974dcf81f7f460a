"""What a number or a model comes from: the processor, and the state of the source."""

import platform
import subprocess
from pathlib import Path

from magvit2 import __version__


def cpu_name() -> str:
    """Return the processors' number and kind."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor() or platform.machine()


def commit() -> str:
    """Return the commit of the clone that the package lies in, "+" behind it where files differ; "unknown" else."""
    found = _in_clone("rev-parse", "--short=12", "HEAD")
    if not found:
        return "unknown"
    return found + ("+" if _in_clone("status", "--porcelain", "--untracked-files=no") else "")


def source_version() -> str:
    """Return what `git describe` calls the clone that the package lies in: "v1.0-3-g1a2b3c4-dirty", say.

    Without tags that is the commit; "-dirty" stands where files differ from it. Outside a clone it is the package's
    version.
    """
    return _in_clone("describe", "--always", "--tags", "--dirty", "--abbrev=12") or f"magvit2 {__version__}"


def _in_clone(*words: str) -> str:
    """Return what git says in the clone that the package lies in; "" where there is none."""
    here = Path(__file__).parent
    is_ours = _git(here, "ls-files", "__init__.py")  # it may be installed inside somebody else's clone
    return _git(here, *words) if is_ours else ""


def _git(folder: Path, *words: str) -> str:
    command = ["git", "--no-optional-locks", *words]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if not done.returncode else ""
