"""No secret is in a log: each test of the api looks at the end (`support.leaks`); here, that looking finds one."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from support.leaks import Watch
from support.tested_cloud import TestedCloud

from cumulet.lib.log import Log

PASSWORD = "Correct-horse-7-battery"


@pytest.mark.parametrize("form", ["{}", "a=%s", "b64", "audit"])
def test_a_secret_that_was_logged_is_found(form: str, tmp_path: Path) -> None:
    watch = Watch()
    watch.know({"Parameters": [{"Password": PASSWORD, "UserName": "ann"}]})
    encoded = base64.b64encode(PASSWORD.encode()).decode()
    if form == "audit":
        (tmp_path / "1.jsonl").write_text(json.dumps({"password": PASSWORD}) + "\n")
    else:
        text = {"{}": PASSWORD, "a=%s": f"a={PASSWORD}", "b64": encoded}[form]
        Log("test").debug("something", text=text)
    Log("test").debug("harmless", user="ann")
    assert len(watch.leaks(tmp_path)) == 1
    with pytest.raises(AssertionError):
        watch.ended(tmp_path)


def test_what_comes_and_goes_by_the_clients_is_known(cloud: TestedCloud, tmp_path: Path) -> None:
    iam, sts, ec2 = cloud.client("iam"), cloud.client("sts"), cloud.client()
    iam.create_user(UserName="ann")
    iam.create_login_profile(UserName="ann", Password=PASSWORD)
    key = iam.create_access_key(UserName="ann")["AccessKey"]["SecretAccessKey"]
    session = sts.get_session_token()["Credentials"]
    pair = ec2.create_key_pair(KeyName="k")["KeyMaterial"]
    user_data = "#!/bin/sh\necho my-own-secret"
    ec2.run_instances(ImageId=cloud.image, MinCount=1, MaxCount=1, KeyName="k", UserData=user_data)
    cloud.settle()
    wanted = {PASSWORD, key, session["SecretAccessKey"], session["SessionToken"], pair, cloud.admin.secret}
    assert wanted <= cloud.watch.secrets
    assert any("my-own-secret" in one or user_data in one for one in _decoded(cloud.watch.secrets))
    assert cloud.watch.lines
    assert any(cloud.config.audit_directory().rglob("*.jsonl"))


def _decoded(secrets: set[str]) -> list[Any]:
    found = list(secrets)
    for one in secrets:
        try:
            found.append(base64.b64decode(one, validate=True).decode())
        except ValueError:
            continue
    return found
