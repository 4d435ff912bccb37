"""Launch templates: what of a launch is written down under a name, in versions that never change."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cumulet.model.database import Row, Tx
from cumulet.model.schema import id_column, json, metadata, moment, text, whole

launch_template = sa.Table(
    "launch_template",
    metadata,
    id_column(key=True),
    id_column("account"),
    text("name", 128),
    text("created_by"),
    moment("created"),
    whole("default_version", 1),
    whole("latest_version", 1),
    sa.UniqueConstraint("account", "name"),
)
"""`latest_version` is the number of the last one that was made, which may be deleted; it is not given again."""
version = sa.Table(
    "launch_template_version",
    metadata,
    id_column("template", key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    id_column("account", index=True),
    text("description"),
    text("created_by"),
    moment("created"),
    json("data"),
)
"""`data` is AWS's RequestLaunchTemplateData, as it was given."""


def find(tx: Tx, account: str, id: str) -> Row | None:
    return tx.first(sa.select(launch_template).where(launch_template.c.account == account, launch_template.c.id == id))


def named(tx: Tx, account: str, name: str) -> Row | None:
    mine = sa.and_(launch_template.c.account == account, launch_template.c.name == name)
    return tx.first(sa.select(launch_template).where(mine))


def of_account(tx: Tx, account: str) -> list[Row]:
    query = sa.select(launch_template).where(launch_template.c.account == account)
    return tx.all(query.order_by(launch_template.c.created, launch_template.c.id))


def versions(tx: Tx, template: str) -> list[Row]:
    """Those that there are, the newest first."""
    return tx.all(sa.select(version).where(version.c.template == template).order_by(version.c.number.desc()))


def find_version(tx: Tx, template: str, number: int) -> Row | None:
    return tx.first(sa.select(version).where(version.c.template == template, version.c.number == number))


def newest(tx: Tx, template: str) -> int | None:
    """The number of the newest version that there is."""
    number: int | None = tx.value(sa.select(sa.func.max(version.c.number)).where(version.c.template == template))
    return number


def count_versions(tx: Tx, template: str) -> int:
    return int(tx.value(sa.select(sa.func.count()).where(version.c.template == template)))


def add(tx: Tx, values: dict[str, Any], first: dict[str, Any]) -> bool:
    """A new template with its first version; False if the account has one of this name."""
    try:
        with tx.attempt():
            tx.insert(launch_template, {**values, "created": tx.now})
    except IntegrityError:
        return False
    shared = {name: values[name] for name in ("account", "created_by")}
    tx.insert(version, {**shared, **first, "template": values["id"], "number": 1, "created": tx.now})
    return True


def last_number(tx: Tx, id: str) -> int:
    """The number of the last version that was made; nobody makes another until the end of the transaction."""
    query = sa.select(launch_template.c.latest_version).where(launch_template.c.id == id)
    return int(tx.value(query.with_for_update()))


def add_version(tx: Tx, template: Row, values: dict[str, Any]) -> int:
    """One more version; gives its number, which no other has had."""
    mine = launch_template.c.id == template.id
    tx.change(launch_template.update().where(mine).values(latest_version=launch_template.c.latest_version + 1))
    number = int(tx.value(sa.select(launch_template.c.latest_version).where(mine)))
    row = {"template": template.id, "account": template.account, "number": number, "created": tx.now}
    tx.insert(version, {**row, **values})
    return number


def set_default(tx: Tx, id: str, number: int) -> None:
    tx.change(launch_template.update().where(launch_template.c.id == id).values(default_version=number))


def remove(tx: Tx, id: str) -> None:
    """The template and all its versions are gone."""
    tx.change(version.delete().where(version.c.template == id))
    tx.change(launch_template.delete().where(launch_template.c.id == id))


def remove_version(tx: Tx, template: str, number: int) -> bool:
    """Delete a version that is not the default one; whether it was there."""
    default = sa.select(launch_template.c.default_version).where(launch_template.c.id == template).scalar_subquery()
    mine = sa.and_(version.c.template == template, version.c.number == number, version.c.number != default)
    return tx.change(version.delete().where(mine)) == 1
