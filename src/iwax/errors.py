"""What iwax refuses, told apart from what is a fault of its own. No JAX here.

Whatever a caller can put right raises one of these: a value out of range, a file that is not what it should be, a
package that is not installed. They are under `ValueError` (and `TypeError`, `ImportError` where those fit), so that
`except ValueError` catches them; any other exception that comes out of iwax is a fault of iwax.
"""

__all__ = [
    "IwaxError",
    "IwaxTypeError",
    "MissingExtraError",
    "NonFiniteLossError",
    "NotWritableError",
    "NoticeWarning",
    "OutOfMemoryError",
    "UnknownNameError",
    "is_out_of_memory",
]


class IwaxError(ValueError):
    """Something given to iwax that it cannot use: the message says what was expected, what came, and what to do.

    >>> import iwax
    >>> try:
    ...     iwax.IWAE(num_samples=0)
    ... except IwaxError as error:
    ...     print(error)
    Expected num_samples to be an integer of at least 1; got 0.
    """


class IwaxTypeError(IwaxError, TypeError):
    """The same for something of the wrong type, or without a method that is needed."""


class UnknownNameError(IwaxError, KeyError):
    """A name that a table of iwax does not have, such as `iwax.ARCHITECTURES["onelayer"]`."""

    __str__ = ValueError.__str__  # KeyError has quotation marks around it


class MissingExtraError(IwaxError, ImportError):
    """A package is needed that `pip install iwax` does not bring; the message names the extra that does."""


class NotWritableError(IwaxError, OSError):
    """A file or a folder cannot be written: no space, no permission, or no such place."""


class NonFiniteLossError(FloatingPointError):
    """The loss or the parameters became NaN or infinite; training stopped."""


class OutOfMemoryError(MemoryError):
    """The device, or the machine, has no room for what was asked; the message says what to lower."""


OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "bad_alloc", "failed to map segment", "can't start new thread")
"""What JAX, C++, the loader of libraries and Python say of it; one of them by an ImportError, which is none."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, NumPy or JAX says that memory is full, of the machine or of a device."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)


class NoticeWarning(UserWarning):
    """What was chosen in place of a caller who left it open, where that may surprise; the command line says it once."""
