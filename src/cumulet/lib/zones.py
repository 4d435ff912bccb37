"""The ids of availability zones, made from the names of region and zone alone, so that all parts say the same."""

from __future__ import annotations

import re
from functools import lru_cache
from string import ascii_lowercase

_AWS_REGION = re.compile("([a-z]{2})((?:-[a-z]+)+)-([0-9]+)")
_TWO_LETTERS = {"northeast": "ne", "northwest": "nw", "southeast": "se", "southwest": "sw"}


@lru_cache(maxsize=256)
def zone_id(region: str, zone: str) -> str:
    """`use1-az1` for us-east-1a, as AWS has it; a zone that is not region and letter keeps its name: `use1-north`.

    The zone's place in the configuration does not count, so a zone keeps its id when others come and go.
    """
    letter = zone.removeprefix(region) if zone.startswith(region) else ""
    name = f"az{ascii_lowercase.index(letter) + 1}" if len(letter) == 1 and letter in ascii_lowercase else zone
    return f"{_short(region)}-{name}"


def _short(region: str) -> str:
    """`use1` for us-east-1; a region that is not named as AWS's are keeps its name."""
    named = _AWS_REGION.fullmatch(region)
    if named is None:
        return region
    area, words, number = named.groups()
    return area + "".join(_TWO_LETTERS.get(word, word[0]) for word in words[1:].split("-")) + number
