"""Judging: one file for each command that judges a run, with numbers and pictures beside it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
