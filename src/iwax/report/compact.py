"""Records in as little memory as that takes: of ten thousand runs, words are kept once, and curves as plain numbers."""

import math
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

__all__ = ["Pairs", "compact", "shared"]

CHANGED = {str, dict, list}
CURVES = ("curve", "beta")  # of training: pairs of an epoch and a number


class Pairs(Sequence[tuple[float, float]]):
    """Pairs of numbers, 16 bytes each; None becomes NaN.

    >>> pairs = Pairs([[1, -90.5], [2, None]])
    >>> pairs[0], len(pairs), pairs == Pairs(pairs)
    ((1.0, -90.5), 2, True)
    """

    def __init__(self, pairs: Iterable[Sequence[float | None]]) -> None:
        self._numbers = array("d", [math.nan if value is None else value for pair in pairs for value in pair])

    def __len__(self) -> int:
        return len(self._numbers) // 2

    @overload
    def __getitem__(self, place: int) -> tuple[float, float]: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[tuple[float, float]]: ...

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        first = 2 * range(len(self))[place]
        return self._numbers[first], self._numbers[first + 1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pairs) and self._numbers.tobytes() == other._numbers.tobytes()

    def __hash__(self) -> int:
        return hash(self._numbers.tobytes())


def compact(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields of a record, values of JSON: words shared with all others, curves of training as `Pairs`."""
    training = {name: value for name, value in fields["training"].items() if name not in CURVES}
    curves = {name: Pairs(fields["training"][name]) for name in CURVES if name in fields["training"]}
    few = shared({**fields, "training": training})
    return few | {"training": few["training"] | curves}


def shared(value: Any) -> Any:
    """A value of JSON, whose types are these few, with words that it shares with all others."""
    kind = type(value)
    if kind is dict:  # of whose values most are numbers, which need no call
        return {sys.intern(name): shared(v) if type(v) in CHANGED else v for name, v in value.items()}
    if kind is list:
        return [shared(v) if type(v) in CHANGED else v for v in value]
    return sys.intern(value) if kind is str else value
