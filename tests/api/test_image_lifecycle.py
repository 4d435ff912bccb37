"""The later life of an image: disabled, deprecated, protected; and attributes that are set back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.launching import launched, one_of, shown
from support.refusals import code, message

from cumulet.model import image


def registered(ec2: Any, name: str = "mine", **more: Any) -> str:
    return str(ec2.register_image(Name=name, ImageLocation="cumulet/tiny", **more)["ImageId"])


def ids(ec2: Any, **parameters: Any) -> list[str]:
    return [one["ImageId"] for one in ec2.describe_images(**parameters)["Images"]]


def look(ec2: Any, id: str) -> dict[str, Any]:
    return dict(ec2.describe_images(ImageIds=[id])["Images"][0])


def in_days(cloud: Any, days: float) -> datetime:
    return datetime.fromtimestamp(cloud.clock.now(), UTC) + timedelta(days=days)


def a_day_earlier(cloud: Any, id: str, column: str) -> None:
    """As if a day had gone by: requests are signed with the real time."""
    with cloud.database.write() as tx:
        row = image.find(tx, id)
        assert row is not None
        image.change(tx, id, **{column: row._mapping[column] - 24 * 3600 - 60})


def open_to_all(ec2: Any, id: str) -> None:
    ec2.modify_image_attribute(ImageId=id, LaunchPermission={"Add": [{"Group": "all"}]})


def test_a_disabled_image_is_nobodys_and_nothing_is_launched_from_it(cloud: Any, ec2: Any) -> None:
    id, other = registered(ec2), cloud.account("other").client()
    open_to_all(ec2, id)
    assert ec2.disable_image(ImageId=id)["Return"] is True
    assert id not in ids(ec2) + ids(other, IncludeDisabled=True)
    assert id in ids(ec2, IncludeDisabled=True)
    assert (look(ec2, id)["State"], look(ec2, id)["Public"]) == ("disabled", False)
    assert ids(ec2, IncludeDisabled=True, Filters=[{"Name": "state", "Values": ["disabled"]}]) == [id]
    assert code(ec2.run_instances, **one_of(cloud, ImageId=id)) == "InvalidAMIID.Unavailable"
    assert code(ec2.copy_image, SourceImageId=id, SourceRegion="us-east-1", Name="copy") == "InvalidAMIID.Unavailable"
    everybody = {"Add": [{"Group": "all"}]}
    assert code(ec2.modify_image_attribute, ImageId=id, LaunchPermission=everybody) == "IncorrectState"
    assert code(other.enable_image, ImageId=cloud.image) == "AuthFailure"
    ec2.enable_image(ImageId=id)
    assert (look(ec2, id)["State"], look(ec2, id)["Public"]) == ("available", False)
    launched(cloud, ec2, ImageId=id)


def test_a_deprecated_image_is_shown_to_others_only_if_they_ask(cloud: Any, ec2: Any) -> None:
    id, other = registered(ec2), cloud.account("other").client()
    open_to_all(ec2, id)
    when = in_days(cloud, 1)
    ec2.enable_image_deprecation(ImageId=id, DeprecateAt=when)
    assert look(ec2, id)["DeprecationTime"] == f"{when:%Y-%m-%dT%H:%M}:00.000Z"
    assert id in ids(other)
    a_day_earlier(cloud, id, "deprecates")
    assert id not in ids(other)
    assert id in ids(ec2)
    assert id in ids(other, IncludeDeprecated=True)
    assert ids(other, ImageIds=[id]) == [id]
    launched(cloud, other, ImageId=id)
    ec2.disable_image_deprecation(ImageId=id)
    assert "DeprecationTime" not in look(ec2, id)
    assert id in ids(other)


@pytest.mark.parametrize(("days", "public"), [(-1, False), (4000, False), (1000, True)])
def test_a_deprecation_that_cannot_be_is_refused(cloud: Any, ec2: Any, days: int, public: bool) -> None:
    id = registered(ec2)
    if public:
        open_to_all(ec2, id)
    refused = code(ec2.enable_image_deprecation, ImageId=id, DeprecateAt=in_days(cloud, days))
    assert refused == "InvalidParameterValue"


def test_a_protected_image_is_not_deregistered(cloud: Any, ec2: Any) -> None:
    id = registered(ec2)
    assert ec2.enable_image_deregistration_protection(ImageId=id)["Return"] == "enabled-without-cooldown"
    assert look(ec2, id)["DeregistrationProtection"] == "enabled-without-cooldown"
    assert code(ec2.deregister_image, ImageId=id) == "OperationNotPermitted"
    ec2.disable_image_deregistration_protection(ImageId=id)
    ec2.deregister_image(ImageId=id)
    assert id not in ids(ec2)


def test_a_cooldown_protects_for_a_day_more(cloud: Any, ec2: Any) -> None:
    id = registered(ec2)
    word = ec2.enable_image_deregistration_protection(ImageId=id, WithCooldown=True)["Return"]
    shown_word = ec2.describe_image_attribute(ImageId=id, Attribute="deregistrationProtection")
    assert word == shown_word["DeregistrationProtection"]["Value"] == "enabled-with-cooldown"
    ec2.disable_image_deregistration_protection(ImageId=id)
    assert code(ec2.deregister_image, ImageId=id) == "OperationNotPermitted"
    a_day_earlier(cloud, id, "protected_until")
    ec2.disable_image_deregistration_protection(ImageId=id)  # asking again does not begin the day anew
    ec2.deregister_image(ImageId=id)


def test_launch_permissions_are_set_back(cloud: Any, ec2: Any) -> None:
    id, friend = registered(ec2), cloud.account("friend")
    open_to_all(ec2, id)
    ec2.modify_image_attribute(ImageId=id, LaunchPermission={"Add": [{"UserId": friend.id}]})
    ec2.reset_image_attribute(ImageId=id, Attribute="launchPermission")
    assert ec2.describe_image_attribute(ImageId=id, Attribute="launchPermission")["LaunchPermissions"] == []
    assert id not in ids(friend.client())
    assert code(ec2.reset_image_attribute, ImageId=id, Attribute="description") == "InvalidParameterValue"


def test_an_image_has_its_guests_use_sessions_for_metadata(cloud: Any, ec2: Any) -> None:
    id, second = registered(ec2, ImdsSupport="v2.0"), registered(ec2, name="second")
    ec2.modify_image_attribute(ImageId=second, ImdsSupport={"Value": "v2.0"})
    for one in (id, second):
        assert look(ec2, one)["ImdsSupport"] == "v2.0"
        options = shown(ec2, launched(cloud, ec2, ImageId=one))["MetadataOptions"]
        assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 2)
    asked = launched(cloud, ec2, ImageId=id, MetadataOptions={"HttpTokens": "optional"})
    assert shown(ec2, asked)["MetadataOptions"]["HttpTokens"] == "optional"
    assert code(ec2.modify_image_attribute, ImageId=id, ImdsSupport={"Value": "v3"}) == "InvalidParameterValue"


def test_one_attribute_of_an_image_is_changed_at_a_time(cloud: Any, ec2: Any) -> None:
    everybody = {"Add": [{"Group": "all"}]}
    several = {"Description": {"Value": "x"}, "LaunchPermission": everybody}
    said = message(ec2.modify_image_attribute, ImageId=cloud.image, **several)
    assert said == "Fields for multiple attribute types specified"
