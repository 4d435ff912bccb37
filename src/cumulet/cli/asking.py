"""Asking a cloud for an administrative action: the one that runs here, one elsewhere, or where none runs its database.

A cloud that is here comes first, whatever the environment says: who is root on its host means that one. What runs here
is asked as the first account's root, with temporary credentials of the cloud's own key, so that no key of that account
has to be there.
"""

from __future__ import annotations

import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from cumulet import __version__
from cumulet.cli import running
from cumulet.cli.options import Cloud, database, is_here, prepared_database
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure
from cumulet.lib.s3_link import Signer

SECONDS = 60.0
SESSION_SECONDS = 900
JSON = "application/x-amz-json-1.1"


def ask(cloud: Cloud, action: str, **parameters: Any) -> Any:
    """What an action of `administration.registry` has found or made; raises `Failure` with what the cloud says."""
    asked = whom(cloud)
    if asked is None:
        return _here(cloud.config, action, parameters)
    return _answer(*asked, action, parameters)


def must_be(cloud: Cloud, kind: str, name: str | None) -> None:
    """Raises `Failure` for an account, or a host, that is not there; None is nobody in particular."""
    if name is None:
        return
    there = ask(cloud, f"List{kind.capitalize()}s")
    if not any(name in (one["name"], one.get("account")) for one in there):
        raise Failure(f"there is no {kind} {name}; there are: {', '.join(one['name'] for one in there)}")


def whom(cloud: Cloud, environ: Mapping[str, str] = os.environ) -> tuple[str, Signer] | None:
    """The URL that is asked, and who signs; None: nobody, the database is here.

    Raises `Failure` where there is neither.
    """
    config = cloud.config
    if cloud.endpoint:
        return cloud.endpoint.rstrip("/"), _signer(config, environ)
    url = running.url(config.state_dir)
    if url is not None and is_here(config) and running.account(config.state_dir) is not None:
        return url, _operator(config)
    if is_here(config):
        return None
    if environ.get("AWS_ENDPOINT_URL") and not cloud.only_here:
        return environ["AWS_ENDPOINT_URL"].rstrip("/"), _signer(config, environ)
    raise Failure(
        f"there is no cloud in {config.state_dir}: `cumulet up` starts one, --state-dir names another, and --endpoint "
        'URL one elsewhere, with the keys that eval "$(cumulet env)" on its host puts into the environment'
    )


def is_elsewhere(cloud: Cloud, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the cloud that is asked is the one at a URL, and not that of the state directory."""
    named = bool(environ.get("AWS_ENDPOINT_URL")) and not cloud.only_here
    return bool(cloud.endpoint) or (named and not is_here(cloud.config))


def _signer(config: Config, environ: Mapping[str, str]) -> Signer:
    known = {name: environ.get(f"AWS_{name}", "") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")}
    lacking = [f"AWS_{name}" for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY") if not known[name]]
    if lacking:
        raise Failure(
            f"{' and '.join(lacking)} must be in the environment to ask a cloud elsewhere: eval what `cumulet env` "
            "prints on its host, or the keys of a user of the first account"
        )
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or config.region
    return Signer(known["ACCESS_KEY_ID"], known["SECRET_ACCESS_KEY"], known["SESSION_TOKEN"], region)


def _operator(config: Config) -> Signer:
    """The first account's root, for a quarter of an hour."""
    from cumulet.lib import session

    first = running.account(config.state_dir)
    if first is None:
        raise Failure(f"the cloud of {config.state_dir} is starting or ending: ask it again in a moment")
    made, token = session.begin(config.keyring(), first, time.time(), SESSION_SECONDS, kind="user")
    return Signer(made.key, made.secret, token, running.region(config.state_dir) or config.region)


def _here(config: Config, action: str, parameters: dict[str, Any]) -> Any:
    from cumulet.administration.desk import Desk
    from cumulet.administration.gate import done_here

    with database(config) as opened:
        return done_here(Desk(opened, config), action, parameters)


def prepare(cloud: Cloud) -> None:
    """Where no cloud runs, neither here nor where the environment says, its database is made with the first account."""
    if not is_elsewhere(cloud) and running.url(cloud.config.state_dir) is None:
        with prepared_database(cloud.config):
            pass


def _answer(url: str, signer: Signer, action: str, parameters: dict[str, Any]) -> Any:
    from cumulet.cli.calls import signed

    request = signed(signer, f"{url}/_cumulet/{action}", "cumulet", json.dumps(parameters).encode(), JSON)
    request.add_header("user-agent", f"cumulet/{__version__}")
    try:
        with _opener(url).open(request, timeout=SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as e:
        raise Failure(_said(e, url)) from None
    except OSError as e:
        raise Failure(f"asking the cloud at {url}: {getattr(e, 'reason', e)}") from e
    except ValueError:
        raise Failure(f"what answers at {url} is no cloud of this kind: it gives no JSON") from None


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Without a proxy; of TLS, the certificates that AWS_CA_BUNDLE names are believed, else the system's."""
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if url.startswith("https:"):
        trusted = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or None)
        handlers.append(urllib.request.HTTPSHandler(context=trusted))
    return urllib.request.build_opener(*handlers)


def _said(e: urllib.error.HTTPError, url: str) -> str:
    try:
        return str(json.load(e)["message"])
    except (ValueError, KeyError, TypeError):
        return f"what answers at {url} is no cloud of this kind: it says {e.code} {e.reason}"
