"""Speed, memory and cost as ratios of things measured in one run: `magvit2 benchmark`, or `python -m` a module of here.

Every number comes from a process of its own that only measures; a module imports nothing but torch's world, so that it
also runs on a GPU machine without the command line's packages.
"""
