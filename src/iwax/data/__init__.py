"""Data sets, where they come from, their checksums, and binarisation.

Names are imported when first used, so that listing data sets does not wait for JAX.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
