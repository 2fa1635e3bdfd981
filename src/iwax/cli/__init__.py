"""The command line: a thin shell over the library. Heavy imports wait inside the commands, so that --help is quick.

The commands themselves are imported by `main`, once signals are answered: Ctrl-C is one line from the start.
"""

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Entry point: exit status 0 only for success; else one line on the standard error, and a status (`outcome`)."""
    with _Held() as held:
        _open_what_is_closed()
        from iwax.interrupts import handled

        with handled():
            held.pass_on()
            from iwax.cli.commands import run

            run(arguments)


def _open_what_is_closed() -> None:
    """Let no file of a run become the standard input, output or error of a process that was started without: notices
    would be written into it.
    """
    import os

    try:
        while (last := os.open(os.devnull, os.O_RDWR)) <= 2:  # the system gives the lowest number that is free
            pass
        os.close(last)
    except OSError:  # no such device, or no more files: then none is opened
        pass


class _Held:
    """A context in which Ctrl-C waits for what answers it, which takes milliseconds to import.

    Python's answer, an exception out of an import, would be a traceback, or be lost: it is swallowed where it falls
    into the clean-up of an import. Where Ctrl-C is ignored, or the caller's to answer, it stays so.
    """

    def __enter__(self) -> "_Held":
        import _signal  # built in; `signal` imports `enum` first

        self._module, self._waiting, self._held = _signal, False, False
        if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
            try:
                _signal.signal(_signal.SIGINT, self._wait)
                self._held = True
            except ValueError:  # not the main thread, which alone may
                pass
        return self

    def pass_on(self) -> None:
        """Let what is set to answer now answer what came meanwhile."""
        if self._waiting:
            self._module.raise_signal(self._module.SIGINT)

    def __exit__(self, *error: object) -> None:
        if self._held:
            self._module.signal(self._module.SIGINT, self._module.default_int_handler)

    def _wait(self, signum: int, frame: object) -> None:
        self._waiting = True


def __getattr__(name: str) -> object:
    if name == "iwax":  # the group of commands, for who documents it
        from iwax.cli.commands import iwax

        return iwax
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
