"""Train and judge latent-variable models with importance-weighted bounds.

A model is a pair: a generative density p(x, z) and an inference density q(z | x).
An objective is a bound, written as a function of the log-weights log w = log p(x, z) - log q(z | x).

The public names are listed in `__init__.pyi` and imported when first used, so that `import iwax` and
`iwax --help` do not wait for JAX.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
