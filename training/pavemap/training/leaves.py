"""What nested settings and cards hold at their ends."""

from __future__ import annotations

from collections.abc import Iterator


def leaves(value: object) -> Iterator[object]:
    """All keys and values in a value of dicts, lists and tuples that are none of these themselves."""
    if isinstance(value, dict):
        yield from (leaf for pair in value.items() for part in pair for leaf in leaves(part))
    elif isinstance(value, list | tuple):
        yield from (leaf for part in value for leaf in leaves(part))
    else:
        yield value
