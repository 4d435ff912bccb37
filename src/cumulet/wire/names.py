"""The names of operations and parameters as Python spells them: RunInstances is run_instances."""

from __future__ import annotations

import re
from functools import lru_cache

_PLURAL_OF_CAPITALS = re.compile("[A-Z]{2,}s$")
_WORD = re.compile("(?<=.)(?=[A-Z][a-z])|(?<=[a-z0-9])(?=[A-Z])")


@lru_cache(maxsize=16384)
def python_name(name: str) -> str:
    """The name with underscores, as botocore's methods and keyword arguments have it.

    A word begins at a capital; several capitals are one word (`CreateDBInstance` is `create_db_instance`), also with
    a plural's s (`ListVPCs` is `list_vpcs`).
    """
    if "_" in name:
        return name
    plural = _PLURAL_OF_CAPITALS.search(name)
    if plural:
        return f"{_WORD.sub('_', name[: plural.start()])}_{plural.group()}".lower().lstrip("_")
    return _WORD.sub("_", name).lower()
