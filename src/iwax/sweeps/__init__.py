"""Sweeps: many runs on one machine or many, by engines that exist; what is left to do is a loop over folders.

Names are imported when first used, so that a driver does not wait for JAX, nor hold a GPU's memory.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
