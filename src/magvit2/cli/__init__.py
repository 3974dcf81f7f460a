"""The command line: one file for each family of verbs; nothing heavy is imported until a verb runs.

Exit codes: 0 for success, 1 for a failure (one line on standard error, the traceback with --debug), 2 for wrong usage.
"""

from magvit2.cli.app import main

__all__ = ["main"]
