"""What is settled before JAX is imported: that it need not compile a program twice."""

import contextlib
import os

from iwax.data import cache_folder

__all__ = ["keep_compiled_programs"]

FOLDER = "JAX_COMPILATION_CACHE_DIR"  # JAX's own; with JAX_ENABLE_COMPILATION_CACHE=false nothing is kept


def keep_compiled_programs() -> None:
    """Let JAX keep compiled programs between processes, in the cache folder unless its own variable names another.

    Without effect where JAX is imported already, or where the folder cannot be written.
    """
    if FOLDER in os.environ:
        return
    folder = cache_folder() / "compiled"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            os.environ[FOLDER] = str(folder)
