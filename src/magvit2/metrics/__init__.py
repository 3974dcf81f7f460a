"""Metrics: numbers that say how good a reconstruction is and how well the codes are used."""

from magvit2.metrics.codes import CodeUsage
from magvit2.metrics.frames import FrameQuality, psnr, ssim

__all__ = ["CodeUsage", "FrameQuality", "psnr", "ssim"]
