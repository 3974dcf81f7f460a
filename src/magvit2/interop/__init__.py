"""Models of ours in other people's formats."""

from magvit2.interop.llama import export_llama

__all__ = ["export_llama"]
