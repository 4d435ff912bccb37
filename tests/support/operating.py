"""The administrative API, asked over HTTP as somebody, or as nobody."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from click.testing import CliRunner, Result
from support.tested_cloud import Account, TestedCloud

from cumulet.cli import cumulet
from cumulet.cli.asking import JSON
from cumulet.cli.calls import signed
from cumulet.lib.s3_link import Signer


def administer(cloud: TestedCloud, who: Account | None, action: str, **parameters: Any) -> tuple[int, Any]:
    """The status and what was said."""
    url, body = f"{cloud.url}/_cumulet/{action}", json.dumps(parameters).encode()
    request = urllib.request.Request(url, body, method="POST")
    if who is not None:
        signer = Signer(who.key, who.secret, who.token or "", cloud.config.region)
        request = signed(signer, url, "cumulet", body, JSON)
    return sent(request)


def sent(request: urllib.request.Request) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as e:
        return e.code, json.load(e)


def invoked(cloud: TestedCloud, *words: str) -> Result:
    """The operator's command on the cloud's host, into its database: no `cumulet up` has said that it runs there."""
    config = cloud.config
    environ = {"CUMULET_DATABASE_URL": config.database_url} if config.database_url else {}
    return CliRunner().invoke(cumulet, [*words, "--state-dir", str(config.state_dir)], env=environ)
