"""What was found among records, kept for as long as the same records are asked about: every table asks about all."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

__all__ = ["found_among"]

KEPT = 8  # lists of records
_LISTS: OrderedDict[tuple[int, ...], tuple[tuple[Any, ...], dict[Any, Any]]] = OrderedDict()
"""By the identities of records, which are kept so that these stay theirs."""


def found_among(records: Sequence[Any]) -> dict[Any, Any]:
    """A dictionary that is the same one whenever these very records are given in this order, for notes about them."""
    place = tuple(map(id, records))
    if place not in _LISTS:
        _LISTS[place] = tuple(records), {}
        if len(_LISTS) > KEPT:
            _LISTS.popitem(last=False)
    _LISTS.move_to_end(place)
    return _LISTS[place][1]
