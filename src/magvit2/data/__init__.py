"""Data: where clips and images come from, and how a training step gets its batch."""
