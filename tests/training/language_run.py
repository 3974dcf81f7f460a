"""Run as a process: a tiny training of a language model. Arguments: source, tokenizer, folder, name of the run."""

import dataclasses
import sys
from pathlib import Path

from magvit2.training import train_language
from tests.training.language_making import RUNS

if __name__ == "__main__":
    source, tokenizer, folder, name = sys.argv[1:]
    train_language(dataclasses.replace(RUNS[name], tokenizer=tokenizer), Path(source), Path(folder))
