"""A folder for results that nobody asked to keep: of a model that is no run, such as an exported one."""

import shutil
import tempfile
import weakref

from iwax.runs.folder import RunFolder

__all__ = ["ScratchFolder"]


class ScratchFolder(RunFolder):
    """A `RunFolder` in a temporary place, which goes when nothing refers to it any more, or with the process."""

    def __init__(self) -> None:
        super().__init__(tempfile.mkdtemp(prefix="iwax-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
