"""Fixtures shared by all tests."""

import os
import signal

import jax
import pytest

# Of the processes that tests start; or they fill a user's cache. `make test` names a folder for them and for us.
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "false")


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_surprises_from_the_environment():
    """A user's data folder must not change what the tests see, nor what ignores signals."""
    os.environ.pop("IWAX_DATA", None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as nohup leaves it
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
