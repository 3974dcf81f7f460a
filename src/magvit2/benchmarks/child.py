"""The process that `measure.in_fresh_process` starts: one function, its arguments and its result as JSON."""

import json
import sys
from importlib import import_module

from magvit2.benchmarks.measure import Setup
from magvit2.errors import Magvit2Error


def main() -> None:
    """Call the function that the command line names, and print what it returns as the last line."""
    module, function, setup, arguments = json.loads(sys.argv[1])
    try:
        result = getattr(import_module(module), function)(Setup(**setup), **arguments)
    except Magvit2Error as error:
        result = {"not_measured": str(error)}
    sys.stdout.write("\n" + json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
