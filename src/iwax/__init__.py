"""Train and judge latent-variable models with importance-weighted bounds.

A model is a pair: a generative density p(x, z) and an inference density q(z | x).
An objective is a bound, written as a function of the log-weights log w = log p(x, z) - log q(z | x).

The public names are listed in `__init__.pyi` and imported when first used, so that `import iwax` and
`iwax --help` do not wait for JAX; so are the modules, as `iwax.zoo` or `iwax.evaluation.units`.

Nothing is imported at once, not even what reads that list: until `iwax.cli.main` answers Ctrl-C, Python does.
"""

__version__ = "0.2.0"

SHORTER = {
    "judge_log_weights": "evaluation",
    "encode": "evaluation",
}  # public names of rooms that are written iwax.NAME; __all__ is full


def __getattr__(name: str) -> object:
    """A public name, or a module of the package, which would else be there only once something had imported it."""
    if name == "__all__":
        return _listed()[1]
    if not name.startswith("_"):
        import importlib.util

        public, names = _listed()
        if name in names:
            return public(name)
        if name in SHORTER:
            return getattr(importlib.import_module(f"{__name__}.{SHORTER[name]}"), name)
        if importlib.util.find_spec(f"{__name__}.{name}") is not None:
            return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(_listed()[1])


def _listed() -> tuple:
    """What imports a public name, and all those names; read when first asked for."""
    if "_read" not in globals():
        import lazy_loader

        importer, _, names = lazy_loader.attach_stub(__name__, __file__)
        globals()["_read"] = importer, names
    return globals()["_read"]
