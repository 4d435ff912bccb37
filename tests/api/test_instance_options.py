"""Options of instances beside their attributes: metadata, CPU credits, monitoring, maintenance."""

from __future__ import annotations

from typing import Any

from support.launching import launched, shown
from support.orders import interface_order
from support.refusals import code


def test_metadata_options_are_changed_one_by_one_and_the_guests_host_hears_of_it(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2, MetadataOptions={"HttpPutResponseHopLimit": 2})
    answer = ec2.modify_instance_metadata_options(InstanceId=id, HttpTokens="required")
    after = {
        "State": "applied",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 2,
        "HttpEndpoint": "enabled",
        "HttpProtocolIpv6": "disabled",
        "InstanceMetadataTags": "disabled",
    }
    assert answer["InstanceMetadataOptions"] == shown(ec2, id)["MetadataOptions"] == after
    ec2.modify_instance_metadata_options(InstanceId=id, HttpEndpoint="disabled")
    cloud.settle()
    order = interface_order(cloud, shown(ec2, id)["NetworkInterfaces"][0]["NetworkInterfaceId"])
    assert order is not None
    assert order.metadata is not None
    assert (order.metadata.http_tokens, order.metadata.hop_limit, order.metadata.http_endpoint) == (
        "required",
        2,
        False,
    )


def test_metadata_options_that_cannot_be_are_refused(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    change = ec2.modify_instance_metadata_options
    assert code(change, InstanceId=id) == "InvalidParameterCombination"
    assert code(change, InstanceId=id, HttpTokens="maybe") == "InvalidParameterValue"
    assert code(change, InstanceId=id, HttpPutResponseHopLimit=0) == "InvalidParameterValue"
    assert code(change, InstanceId=id, HttpProtocolIpv6="enabled") == "UnsupportedOperation"


def test_tags_are_shown_to_the_guest_only_if_they_have_a_place_there(cloud: Any, ec2: Any) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "a b", "Value": "x"}]}]
    id = launched(cloud, ec2, TagSpecifications=tags)
    refused = code(ec2.modify_instance_metadata_options, InstanceId=id, InstanceMetadataTags="enabled")
    assert refused == "InvalidParameterValue"


def test_credits_are_as_the_family_has_them_until_they_are_changed(cloud: Any, ec2: Any) -> None:
    two, three = launched(cloud, ec2, InstanceType="t2.nano"), launched(cloud, ec2, InstanceType="t3.nano")
    launched(cloud, ec2)

    def credits() -> dict[str, str]:
        found = ec2.describe_instance_credit_specifications()["InstanceCreditSpecifications"]
        return {one["InstanceId"]: one["CpuCredits"] for one in found}

    assert credits() == {two: "standard", three: "unlimited"}
    wanted = [{"InstanceId": two, "CpuCredits": "unlimited"}]
    answer = ec2.modify_instance_credit_specification(InstanceCreditSpecifications=wanted)
    assert answer["SuccessfulInstanceCreditSpecifications"] == [{"InstanceId": two}]
    assert credits() == {two: "unlimited", three: "unlimited"}


def test_an_instance_without_credits_has_none_to_show_or_change(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    refused = code(ec2.describe_instance_credit_specifications, InstanceIds=[id])
    assert refused == "InstanceCreditSpecification.NotSupported"
    wanted = [{"InstanceId": id, "CpuCredits": "standard"}, {"InstanceId": "i-0123456789abcdef0"}]
    answer = ec2.modify_instance_credit_specification(InstanceCreditSpecifications=wanted)
    codes = [one["Error"]["Code"] for one in answer["UnsuccessfulInstanceCreditSpecifications"]]
    assert codes == ["InstanceCreditSpecification.NotSupported", "InvalidInstanceID.NotFound"]
    wrong = [{"InstanceId": id, "CpuCredits": "many"}]
    call = ec2.modify_instance_credit_specification
    assert code(call, InstanceCreditSpecifications=wrong) == "InvalidParameterValue"


def test_monitoring_is_marked(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    (marked,) = ec2.monitor_instances(InstanceIds=[id])["InstanceMonitorings"]
    assert marked["Monitoring"]["State"] == shown(ec2, id)["Monitoring"]["State"] == "enabled"
    ec2.unmonitor_instances(InstanceIds=[id])
    assert shown(ec2, id)["Monitoring"]["State"] == "disabled"


def test_automatic_recovery_is_kept(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    answer = ec2.modify_instance_maintenance_options(InstanceId=id, AutoRecovery="disabled")
    assert answer["AutoRecovery"] == shown(ec2, id)["MaintenanceOptions"]["AutoRecovery"] == "disabled"
    refused = code(ec2.modify_instance_maintenance_options, InstanceId=id, AutoRecovery="always")
    assert refused == "InvalidParameterValue"


def test_what_this_cloud_has_none_of_is_an_empty_list_or_not_found(cloud: Any, ec2: Any) -> None:
    assert ec2.describe_launch_templates()["LaunchTemplates"] == []
    assert ec2.describe_launch_template_versions(Versions=["$Latest"])["LaunchTemplateVersions"] == []
    assert ec2.describe_iam_instance_profile_associations()["IamInstanceProfileAssociations"] == []
    assert ec2.describe_volumes_modifications()["VolumesModifications"] == []
    absent = {"LaunchTemplateIds": ["lt-0123456789abcdef0"]}
    assert code(ec2.describe_launch_templates, **absent) == "InvalidLaunchTemplateId.NotFound"
    named = code(ec2.describe_launch_templates, LaunchTemplateNames=["web"])
    assert named == "InvalidLaunchTemplateName.NotFoundException"
    version = code(ec2.describe_launch_template_versions, LaunchTemplateId="lt-0123456789abcdef0")
    assert version == "InvalidLaunchTemplateId.NotFound"
    association = code(ec2.describe_iam_instance_profile_associations, AssociationIds=["iip-assoc-1"])
    assert association == "InvalidAssociationID.NotFound"
    volume = code(ec2.describe_volumes_modifications, VolumeIds=["vol-0123456789abcdef0"])
    assert volume == "InvalidVolume.NotFound"
