"""What a query gives: a tuple whose places have the names of the columns.

SQLAlchemy's own rows find each name in a dictionary, after it was not found as an attribute: thirty times as long as
here, and a describe call asks for hundreds of thousands (docs/decisions/0028-prepared-statements.md).
"""

from __future__ import annotations

from collections import namedtuple
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar


class Row(tuple[Any, ...]):
    """One of a query: by name and by place."""

    __slots__ = ()
    _fields: ClassVar[tuple[str, ...]] = ()

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def _asdict(self) -> dict[str, Any]:
        """Column name to value."""
        return dict(zip(self._fields, self, strict=True))

    _mapping = property(_asdict)


@cache
def named(columns: tuple[str, ...]) -> type[Row]:
    """The rows that have these columns; of two with one name, the last is known by it."""
    places = [f"place_{number}" for number in range(len(columns))]
    quick: type = namedtuple("_Places", places)  # type: ignore[misc]  # noqa: PYI024 - for its quick getters alone
    # the class is held until all are taken: one that nobody holds is collected at any moment, and emptied by that
    names = {name: vars(quick)[place] for name, place in zip(columns, places, strict=True)}
    return type("Row", (Row,), {"__slots__": (), "_fields": columns, **names})
