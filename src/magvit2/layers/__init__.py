"""Layers that are exactly causal in time: convolution, normalisation, residual blocks, resampling."""
