"""Diagnostics of training: signal-to-noise of gradients, and arithmetic in FLOP. No run folders."""

from iwax.diagnostics.flops import evaluation_flop, training_flop, update_flop
from iwax.diagnostics.snr import Directional, GradientSNR, GroupSNR, flat, gradient_snr

__all__ = [
    "Directional",
    "GradientSNR",
    "GroupSNR",
    "evaluation_flop",
    "flat",
    "gradient_snr",
    "training_flop",
    "update_flop",
]
