"""What the tables have in common: one catalogue, and the column types."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_column(name: str = "id", *, key: bool = False, null: bool = False, index: bool = False) -> sa.Column[Any]:
    """An id of ours, or of AWS's form: up to 40 characters."""
    return sa.Column(name, sa.String(40), primary_key=key, nullable=null, index=index)


def text(
    name: str, size: int = 255, *, default: str | None = "", key: bool = False, index: bool = False
) -> sa.Column[Any]:
    """A string; nullable when its default is None."""
    return sa.Column(name, sa.String(size), default=default, nullable=default is None, primary_key=key, index=index)


def whole(name: str, default: int | None = 0) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, default=default, nullable=default is None)


def flag(name: str, default: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean, default=default, nullable=False)


def moment(name: str, *, null: bool = True, index: bool = False) -> sa.Column[Any]:
    """Seconds since 1970."""
    return sa.Column(name, sa.Double, nullable=null, index=index)


def json(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON, nullable=False, default=dict)


def object_key(*, key: bool = False) -> sa.Column[Any]:
    """The key of an object: up to 1,024 bytes."""
    kind = sa.LargeBinary().with_variant(mysql.VARBINARY(1024), "mysql", "mariadb")
    return sa.Column("key", kind, primary_key=key, nullable=False)


def body(name: str) -> sa.Column[Any]:
    """A long text."""
    return sa.Column(name, sa.Text, nullable=False, default="")
