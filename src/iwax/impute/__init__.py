"""Missing data: a latent-variable model of tables, and imputation with importance-weighted bounds.

Names are imported when first used, so that the command line's help does not wait for JAX.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
