"""What RunInstances may be asked for."""

from __future__ import annotations

from typing import TypedDict

from cumulet.api.ec2.instance_profiles import ProfileName
from cumulet.api.ec2.tagging import TagSpecification
from cumulet.api.ec2.template_rows import Specification


class Ebs(TypedDict, total=False):
    DeleteOnTermination: bool
    Encrypted: bool
    Iops: int
    KmsKeyId: str
    SnapshotId: str
    Throughput: int
    VolumeSize: int
    VolumeType: str


class BlockDeviceMapping(TypedDict, total=False):
    DeviceName: str
    Ebs: Ebs
    NoDevice: str
    VirtualName: str


class Placement(TypedDict, total=False):
    Affinity: str
    AvailabilityZone: str
    GroupId: str
    GroupName: str
    HostId: str
    PartitionNumber: int
    Tenancy: str


class Monitoring(TypedDict, total=False):
    Enabled: bool


class CreditSpecification(TypedDict, total=False):
    CpuCredits: str


class CpuOptions(TypedDict, total=False):
    CoreCount: int
    ThreadsPerCore: int


class CapacityReservation(TypedDict, total=False):
    CapacityReservationPreference: str


class Hibernation(TypedDict, total=False):
    Configured: bool


class Enclave(TypedDict, total=False):
    Enabled: bool


class MetadataOptions(TypedDict, total=False):
    HttpTokens: str
    HttpPutResponseHopLimit: int
    HttpEndpoint: str
    HttpProtocolIpv6: str
    InstanceMetadataTags: str


class PrivateDnsNameOptions(TypedDict, total=False):
    HostnameType: str
    EnableResourceNameDnsARecord: bool
    EnableResourceNameDnsAAAARecord: bool


class MaintenanceOptions(TypedDict, total=False):
    AutoRecovery: str


class PrivateAddress(TypedDict, total=False):
    Primary: bool
    PrivateIpAddress: str


class NetworkInterface(TypedDict, total=False):
    AssociatePublicIpAddress: bool
    DeleteOnTermination: bool
    Description: str
    DeviceIndex: int
    Groups: list[str]
    InterfaceType: str
    NetworkCardIndex: int
    PrivateIpAddress: str
    PrivateIpAddresses: list[PrivateAddress]
    SubnetId: str


class LaunchRequest(TypedDict, total=False):
    block_device_mappings: list[BlockDeviceMapping]
    capacity_reservation_specification: CapacityReservation
    client_token: str
    cpu_options: CpuOptions
    credit_specification: CreditSpecification
    disable_api_stop: bool
    disable_api_termination: bool
    ebs_optimized: bool
    enclave_options: Enclave
    hibernation_options: Hibernation
    iam_instance_profile: ProfileName
    image_id: str
    instance_initiated_shutdown_behavior: str
    instance_type: str
    kernel_id: str
    launch_template: Specification
    key_name: str
    maintenance_options: MaintenanceOptions
    max_count: int
    metadata_options: MetadataOptions
    min_count: int
    monitoring: Monitoring
    network_interfaces: list[NetworkInterface]
    placement: Placement
    private_dns_name_options: PrivateDnsNameOptions
    private_ip_address: str
    ramdisk_id: str
    security_group_ids: list[str]
    security_groups: list[str]
    subnet_id: str
    tag_specifications: list[TagSpecification]
    user_data: str
