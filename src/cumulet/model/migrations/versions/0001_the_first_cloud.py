"""The first version: all the tables of the first cloud."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "access_key",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.Column("used", sa.Double(), nullable=True),
        sa.Column("used_service", sa.String(length=32), nullable=False),
        sa.Column("used_region", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_key")),
    )
    with op.batch_alter_table("access_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_access_key_account"), ["account"], unique=False)
        batch_op.create_index(batch_op.f("ix_access_key_entity"), ["entity"], unique=False)

    op.create_table(
        "account",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("canonical_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("administrator", sa.Boolean(), nullable=False),
        sa.Column("encrypts_volumes", sa.Boolean(), nullable=False),
        sa.Column("alias", sa.String(length=63), nullable=True),
        sa.Column("password_policy", sa.JSON(), nullable=False),
        sa.Column("quotas", sa.JSON(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("name", name=op.f("uq_account_name")),
        sa.UniqueConstraint("alias", name=op.f("uq_account_alias")),
    )
    op.create_table(
        "entity",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("lower_name", sa.String(length=128), nullable=False),
        sa.Column("path", sa.String(length=512), nullable=False),
        sa.Column("boundary", sa.String(length=255), nullable=False),
        sa.Column("trust", sa.Text(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entity")),
        sa.UniqueConstraint("account", "kind", "lower_name", name=op.f("uq_entity_account_kind_lower_name")),
    )
    op.create_table(
        "entity_member",
        sa.Column("container", sa.String(length=40), nullable=False),
        sa.Column("member", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("container", "member", name=op.f("pk_entity_member")),
    )
    op.create_index(op.f("ix_entity_member_member"), "entity_member", ["member"], unique=False)
    op.create_table(
        "policy",
        sa.Column("arn", sa.String(length=255), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("lower_name", sa.String(length=128), nullable=False),
        sa.Column("path", sa.String(length=512), nullable=False),
        sa.Column("description", sa.String(length=1000), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("newest", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.Column("changed", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("arn", name=op.f("pk_policy")),
        sa.UniqueConstraint("account", "lower_name", name=op.f("uq_policy_account_lower_name")),
    )
    op.create_table(
        "policy_version",
        sa.Column("arn", sa.String(length=255), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("arn", "number", name=op.f("pk_policy_version")),
    )
    op.create_table(
        "policy_attachment",
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("arn", sa.String(length=255), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("entity", "arn", name=op.f("pk_policy_attachment")),
    )
    op.create_index(op.f("ix_policy_attachment_arn"), "policy_attachment", ["arn"], unique=False)
    op.create_index(op.f("ix_policy_attachment_account"), "policy_attachment", ["account"], unique=False)
    op.create_table(
        "profile_association",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("instance", sa.String(length=40), nullable=False),
        sa.Column("profile", sa.String(length=40), nullable=False),
        sa.Column("arn", sa.String(length=700), nullable=False),
        sa.Column("credentials", sa.Text(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=True),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profile_association")),
        sa.UniqueConstraint("instance", name=op.f("uq_profile_association_instance")),
    )
    op.create_index(op.f("ix_profile_association_account"), "profile_association", ["account"], unique=False)
    op.create_index(op.f("ix_profile_association_profile"), "profile_association", ["profile"], unique=False)
    op.create_index(op.f("ix_profile_association_expires"), "profile_association", ["expires"], unique=False)
    op.create_table(
        "secret",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_secret")),
    )
    op.create_table(
        "policy_inline",
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entity", "name", name=op.f("pk_policy_inline")),
    )
    op.create_table(
        "address",
        sa.Column("public_ip", sa.String(length=15), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("allocation", sa.String(length=40), nullable=True),
        sa.Column("association", sa.String(length=40), nullable=True),
        sa.Column("interface", sa.String(length=40), nullable=True),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("public_ip", name=op.f("pk_address")),
        sa.UniqueConstraint("allocation", name=op.f("uq_address_allocation")),
    )
    with op.batch_alter_table("address", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_address_account"), ["account"], unique=False)
        batch_op.create_index(batch_op.f("ix_address_interface"), ["interface"], unique=False)

    op.create_table(
        "certificate",
        sa.Column("serial", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_certificate")),
    )
    with op.batch_alter_table("certificate", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_certificate_account"), ["account"], unique=False)

    op.create_table(
        "client_token",
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("account", "action", "token", name=op.f("pk_client_token")),
    )
    with op.batch_alter_table("client_token", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_client_token_created"), ["created"], unique=False)

    op.create_table(
        "host",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("zones", sa.JSON(), nullable=False),
        sa.Column("vcpus", sa.BigInteger(), nullable=False),
        sa.Column("memory_mib", sa.BigInteger(), nullable=False),
        sa.Column("disk_gib", sa.BigInteger(), nullable=False),
        sa.Column("disk_exact", sa.Boolean(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("address", sa.String(length=15), nullable=False),
        sa.Column("guest_mtu", sa.BigInteger(), nullable=False),
        sa.Column("store", sa.String(length=64), nullable=False),
        sa.Column("lease", sa.BigInteger(), nullable=False),
        sa.Column("lost", sa.Boolean(), nullable=False),
        sa.Column("renewed", sa.Double(), nullable=True),
        sa.Column("fence_seconds", sa.Double(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("used_vcpus", sa.BigInteger(), nullable=False),
        sa.Column("used_memory_mib", sa.BigInteger(), nullable=False),
        sa.Column("used_disk_gib", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_host")),
    )
    op.create_table(
        "image",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("image_file", sa.String(length=40), nullable=True),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("location", sa.String(length=255), nullable=False),
        sa.Column("architecture", sa.String(length=20), nullable=False),
        sa.Column("boot", sa.String(length=10), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("kernel", sa.String(length=40), nullable=False),
        sa.Column("ramdisk", sa.String(length=40), nullable=False),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("deregistered", sa.Boolean(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("deprecates", sa.Double(), nullable=True),
        sa.Column("protection", sa.String(length=30), nullable=False),
        sa.Column("protected_until", sa.Double(), nullable=True),
        sa.Column("root_device", sa.String(length=20), nullable=False),
        sa.Column("root_gib", sa.BigInteger(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image")),
    )
    with op.batch_alter_table("image", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_image_account"), ["account"], unique=False)
        batch_op.create_index(batch_op.f("ix_image_image_file"), ["image_file"], unique=False)

    op.create_table(
        "image_file",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("location", sa.String(length=255), nullable=False),
        sa.Column("source", sa.String(length=1024), nullable=False),
        sa.Column("declared", sa.String(length=10), nullable=True),
        sa.Column("desired", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=True),
        sa.Column("reason_code", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("origin", sa.JSON(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("stage", sa.String(length=64), nullable=False),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.Column("unused", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_file")),
    )
    with op.batch_alter_table("image_file", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_image_file_account"), ["account"], unique=False)

    op.create_table(
        "image_copy",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("image_file", sa.String(length=40), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("desired", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("stage", sa.String(length=64), nullable=False),
        sa.Column("kept", sa.Boolean(), nullable=False),
        sa.Column("used", sa.Double(), nullable=True),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_copy")),
        sa.UniqueConstraint("image_file", "host", name=op.f("uq_image_copy_image_file_host")),
    )
    with op.batch_alter_table("image_copy", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_image_copy_host"), ["host"], unique=False)

    op.create_table(
        "image_disk",
        sa.Column("image", sa.String(length=40), nullable=False),
        sa.Column("device", sa.String(length=32), nullable=False),
        sa.Column("snapshot", sa.String(length=40), nullable=True),
        sa.Column("size_gib", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(length=12), nullable=False),
        sa.Column("iops", sa.BigInteger(), nullable=False),
        sa.Column("throughput", sa.BigInteger(), nullable=False),
        sa.Column("delete_on_termination", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("image", "device", name=op.f("pk_image_disk")),
    )
    with op.batch_alter_table("image_disk", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_image_disk_snapshot"), ["snapshot"], unique=False)

    op.create_table(
        "image_permission",
        sa.Column("image", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("image", "account", name=op.f("pk_image_permission")),
    )
    with op.batch_alter_table("image_permission", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_image_permission_account"), ["account"], unique=False)

    op.create_table(
        "image_task",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("desired", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("image_file", sa.String(length=40), nullable=False),
        sa.Column("image", sa.String(length=40), nullable=False),
        sa.Column("snapshot", sa.String(length=40), nullable=False),
        sa.Column("volume", sa.String(length=40), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_task")),
    )
    with op.batch_alter_table("image_task", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_image_task_account"), ["account"], unique=False)
        batch_op.create_index(batch_op.f("ix_image_task_image_file"), ["image_file"], unique=False)

    op.create_table(
        "instance",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("reservation", sa.String(length=40), nullable=False),
        sa.Column("launch_index", sa.BigInteger(), nullable=False),
        sa.Column("image", sa.String(length=40), nullable=False),
        sa.Column("image_file", sa.String(length=40), nullable=True),
        sa.Column("boot", sa.String(length=10), nullable=False),
        sa.Column("kernel", sa.String(length=40), nullable=False),
        sa.Column("kernel_file", sa.String(length=40), nullable=False),
        sa.Column("ramdisk", sa.String(length=40), nullable=False),
        sa.Column("ramdisk_file", sa.String(length=40), nullable=False),
        sa.Column("architecture", sa.String(length=20), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("vcpus", sa.BigInteger(), nullable=False),
        sa.Column("memory_mib", sa.BigInteger(), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=True),
        sa.Column("claimed", sa.Boolean(), nullable=False),
        sa.Column("placed_because", sa.String(length=255), nullable=False),
        sa.Column("placement_group", sa.String(length=40), nullable=True),
        sa.Column("partition_number", sa.BigInteger(), nullable=True),
        sa.Column("tenancy", sa.String(length=10), nullable=False),
        sa.Column("wanted_host", sa.String(length=64), nullable=False),
        sa.Column("moving_to", sa.String(length=64), nullable=False),
        sa.Column("moves_live", sa.Boolean(), nullable=False),
        sa.Column("moves_off_else", sa.Boolean(), nullable=False),
        sa.Column("moves", sa.BigInteger(), nullable=False),
        sa.Column("moved_percent", sa.BigInteger(), nullable=False),
        sa.Column("not_moved", sa.String(length=255), nullable=False),
        sa.Column("move_asked", sa.Double(), nullable=True),
        sa.Column("fenced", sa.BigInteger(), nullable=True),
        sa.Column("recovering", sa.String(length=64), nullable=False),
        sa.Column("vpc", sa.String(length=40), nullable=False),
        sa.Column("subnet", sa.String(length=40), nullable=False),
        sa.Column("desired", sa.String(length=12), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("force_after", sa.Double(), nullable=True),
        sa.Column("reason_code", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("transition_reason", sa.String(length=255), nullable=False),
        sa.Column("key_name", sa.String(length=255), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("user_data", sa.Text(), nullable=False),
        sa.Column("root_device", sa.String(length=20), nullable=False),
        sa.Column("disable_api_termination", sa.Boolean(), nullable=False),
        sa.Column("disable_api_stop", sa.Boolean(), nullable=False),
        sa.Column("shutdown_behavior", sa.String(length=10), nullable=False),
        sa.Column("metadata_options", sa.JSON(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("client_token", sa.String(length=64), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.Column("launched", sa.Double(), nullable=True),
        sa.Column("ended", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance")),
    )
    with op.batch_alter_table("instance", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_instance_account"), ["account"], unique=False)
        batch_op.create_index(batch_op.f("ix_instance_ended"), ["ended"], unique=False)
        batch_op.create_index(batch_op.f("ix_instance_host"), ["host"], unique=False)
        batch_op.create_index(batch_op.f("ix_instance_placement_group"), ["placement_group"], unique=False)
        batch_op.create_index(batch_op.f("ix_instance_reservation"), ["reservation"], unique=False)

    op.create_table(
        "interface",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("vpc", sa.String(length=40), nullable=False),
        sa.Column("subnet", sa.String(length=40), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("instance", sa.String(length=40), nullable=False),
        sa.Column("desired", sa.String(length=10), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=True),
        sa.Column("also_on", sa.String(length=64), nullable=False),
        sa.Column("stands_by", sa.Boolean(), nullable=False),
        sa.Column("wanted", sa.BigInteger(), nullable=False),
        sa.Column("reached", sa.BigInteger(), nullable=False),
        sa.Column("ip", sa.String(length=15), nullable=False),
        sa.Column("mac", sa.String(length=17), nullable=False),
        sa.Column("device_index", sa.BigInteger(), nullable=False),
        sa.Column("attachment", sa.String(length=40), nullable=False),
        sa.Column("attached", sa.Double(), nullable=True),
        sa.Column("delete_on_termination", sa.Boolean(), nullable=False),
        sa.Column("source_dest_check", sa.Boolean(), nullable=False),
        sa.Column("wants_public_ip", sa.Boolean(), nullable=False),
        sa.Column("announced", sa.String(length=15), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interface")),
        sa.UniqueConstraint("subnet", "ip", name=op.f("uq_interface_subnet_ip")),
    )
    with op.batch_alter_table("interface", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_interface_account"), ["account"], unique=False)
        batch_op.create_index(batch_op.f("ix_interface_instance"), ["instance"], unique=False)
        batch_op.create_index(batch_op.f("ix_interface_vpc"), ["vpc"], unique=False)

    op.create_table(
        "interface_group",
        sa.Column("interface", sa.String(length=40), nullable=False),
        sa.Column("group_id", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("interface", "group_id", name=op.f("pk_interface_group")),
    )
    with op.batch_alter_table("interface_group", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_interface_group_group_id"), ["group_id"], unique=False)

    op.create_table(
        "join_ticket",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_join_ticket")),
    )
    op.create_table(
        "key_pair",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=10), nullable=False),
        sa.Column("fingerprint", sa.String(length=80), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_pair")),
        sa.UniqueConstraint("account", "name", name=op.f("uq_key_pair_account_name")),
    )
    op.create_table(
        "launch_template",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.Column("default_version", sa.BigInteger(), nullable=False),
        sa.Column("latest_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_launch_template")),
        sa.UniqueConstraint("account", "name", name=op.f("uq_launch_template_account_name")),
    )
    op.create_table(
        "launch_template_version",
        sa.Column("template", sa.String(length=40), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("template", "number", name=op.f("pk_launch_template_version")),
    )
    with op.batch_alter_table("launch_template_version", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_launch_template_version_account"), ["account"], unique=False)

    op.create_table(
        "left_behind",
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("role", "host", "id", name=op.f("pk_left_behind")),
    )
    op.create_table(
        "placement_group",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("strategy", sa.String(length=12), nullable=False),
        sa.Column("spread_level", sa.String(length=10), nullable=False),
        sa.Column("partitions", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_placement_group")),
        sa.UniqueConstraint("account", "name", name=op.f("uq_placement_group_account_name")),
    )
    op.create_table(
        "security_group",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("vpc", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("desired", sa.String(length=10), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_group")),
        sa.UniqueConstraint("vpc", "name", name=op.f("uq_security_group_vpc_name")),
    )
    with op.batch_alter_table("security_group", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_security_group_account"), ["account"], unique=False)

    op.create_table(
        "security_group_host",
        sa.Column("group_id", sa.String(length=40), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "host", name=op.f("pk_security_group_host")),
    )
    op.create_table(
        "security_group_rule",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("group_id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("egress", sa.Boolean(), nullable=False),
        sa.Column("protocol", sa.String(length=10), nullable=False),
        sa.Column("from_port", sa.BigInteger(), nullable=True),
        sa.Column("to_port", sa.BigInteger(), nullable=True),
        sa.Column("cidr", sa.String(length=20), nullable=True),
        sa.Column("cidr_ipv6", sa.String(length=50), nullable=True),
        sa.Column("source_group", sa.String(length=40), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_group_rule")),
    )
    with op.batch_alter_table("security_group_rule", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_security_group_rule_group_id"), ["group_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_security_group_rule_source_group"), ["source_group"], unique=False)

    op.create_table(
        "service",
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("contract", sa.BigInteger(), nullable=False),
        sa.Column("heard", sa.Double(), nullable=True),
        sa.Column("since", sa.Double(), nullable=True),
        sa.Column("seen", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("role", "host", name=op.f("pk_service")),
    )
    op.create_table(
        "subnet",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("vpc", sa.String(length=40), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("cidr", sa.String(length=20), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("map_public_ip", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subnet")),
    )
    with op.batch_alter_table("subnet", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_subnet_account"), ["account"], unique=False)
        batch_op.create_index(batch_op.f("ix_subnet_vpc"), ["vpc"], unique=False)

    op.create_table(
        "tag",
        sa.Column("resource", sa.String(length=40), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("value", sa.String(length=256), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("resource", "key", name=op.f("pk_tag")),
    )
    with op.batch_alter_table("tag", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tag_account"), ["account"], unique=False)

    op.create_table(
        "volume",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=True),
        sa.Column("moving_to", sa.String(length=64), nullable=False),
        sa.Column("moved_from", sa.String(length=64), nullable=False),
        sa.Column("store", sa.String(length=64), nullable=False),
        sa.Column("desired", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=255), nullable=False),
        sa.Column("size_gib", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(length=12), nullable=False),
        sa.Column("made_gib", sa.BigInteger(), nullable=False),
        sa.Column("modified", sa.Double(), nullable=True),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("iops", sa.BigInteger(), nullable=False),
        sa.Column("throughput", sa.BigInteger(), nullable=False),
        sa.Column("image_file", sa.String(length=40), nullable=True),
        sa.Column("snapshot", sa.String(length=40), nullable=True),
        sa.Column("base", sa.String(length=40), nullable=True),
        sa.Column("auto_enable_io", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volume")),
    )
    with op.batch_alter_table("volume", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_volume_account"), ["account"], unique=False)
        batch_op.create_index(batch_op.f("ix_volume_base"), ["base"], unique=False)
        batch_op.create_index(batch_op.f("ix_volume_image_file"), ["image_file"], unique=False)
        batch_op.create_index(batch_op.f("ix_volume_snapshot"), ["snapshot"], unique=False)

    op.create_table(
        "attachment",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("volume", sa.String(length=40), nullable=False),
        sa.Column("instance", sa.String(length=40), nullable=False),
        sa.Column("device", sa.String(length=32), nullable=False),
        sa.Column("slot", sa.String(length=2), nullable=False),
        sa.Column("desired", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("delete_on_termination", sa.Boolean(), nullable=False),
        sa.Column("attached", sa.Double(), nullable=True),
        sa.Column("asked", sa.Double(), nullable=True),
        sa.Column("exported", sa.String(length=64), nullable=False),
        sa.Column("chap", sa.Text(), nullable=False),
        sa.Column("tls", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachment")),
        sa.UniqueConstraint("instance", "slot", name=op.f("uq_attachment_instance_slot")),
        sa.UniqueConstraint("volume", name=op.f("uq_attachment_volume")),
    )
    op.create_table(
        "snapshot",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("volume", sa.String(length=40), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=True),
        sa.Column("instance", sa.String(length=40), nullable=True),
        sa.Column("base", sa.String(length=40), nullable=True),
        sa.Column("replica_of", sa.String(length=40), nullable=True),
        sa.Column("host", sa.String(length=64), nullable=True),
        sa.Column("desired", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("size_gib", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.String(length=255), nullable=False),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.Column("completed", sa.Double(), nullable=True),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("used", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot")),
        sa.UniqueConstraint("replica_of", "host", name=op.f("uq_snapshot_replica_of_host")),
    )
    with op.batch_alter_table("snapshot", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_snapshot_account"), ["account"], unique=False)
        batch_op.create_index(batch_op.f("ix_snapshot_base"), ["base"], unique=False)
        batch_op.create_index(batch_op.f("ix_snapshot_instance"), ["instance"], unique=False)
        batch_op.create_index(batch_op.f("ix_snapshot_source"), ["source"], unique=False)
        batch_op.create_index(batch_op.f("ix_snapshot_volume"), ["volume"], unique=False)

    op.create_table(
        "snapshot_permission",
        sa.Column("snapshot", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("snapshot", "account", name=op.f("pk_snapshot_permission")),
    )
    with op.batch_alter_table("snapshot_permission", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_snapshot_permission_account"), ["account"], unique=False)

    op.create_table(
        "vlan",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("vpc", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_vlan")),
        sa.UniqueConstraint("vpc", name=op.f("uq_vlan_vpc")),
    )
    op.create_table(
        "vpc",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("cidr", sa.String(length=20), nullable=False),
        sa.Column("vni", sa.BigInteger(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("dhcp_options", sa.String(length=40), nullable=False),
        sa.Column("dns_support", sa.Boolean(), nullable=False),
        sa.Column("dns_hostnames", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vpc")),
        sa.UniqueConstraint("vni", name=op.f("uq_vpc_vni")),
    )
    with op.batch_alter_table("vpc", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_vpc_account"), ["account"], unique=False)

    op.create_table(
        "vpc_host",
        sa.Column("vpc", sa.String(length=40), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("vpc", "host", name=op.f("pk_vpc_host")),
    )
    op.create_table(
        "work",
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("due", sa.Double(), nullable=True),
        sa.Column("lease", sa.Double(), nullable=True),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("wakes", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "id", name=op.f("pk_work")),
    )
    with op.batch_alter_table("work", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_work_due"), ["due"], unique=False)

    _create_objects()


def _create_objects() -> None:
    key = sa.LargeBinary().with_variant(mysql.VARBINARY(1024), "mysql", "mariadb")
    op.create_table(
        "blob",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("crc", sa.String(length=16), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.Column("due", sa.Double(), nullable=True),
        sa.Column("lost", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blob")),
    )
    op.create_index(op.f("ix_blob_due"), "blob", ["due"], unique=False)
    op.create_table(
        "bucket",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("versioning", sa.String(length=10), nullable=False),
        sa.Column("object_lock", sa.Boolean(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("objects", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_bucket")),
    )
    op.create_index(op.f("ix_bucket_account"), "bucket", ["account"], unique=False)
    op.create_table(
        "object_version",
        sa.Column("bucket", sa.String(length=63), nullable=False),
        sa.Column("key", key, nullable=False),
        sa.Column("rank", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("latest", sa.Boolean(), nullable=False),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.Column("marker", sa.Boolean(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.String(length=80), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("storage_class", sa.String(length=20), nullable=False),
        sa.Column("blob", sa.String(length=40), nullable=False),
        sa.Column("upload", sa.String(length=64), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("modified", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("bucket", "key", "rank", name=op.f("pk_object_version")),
    )
    seen, named = ["bucket", "listed", "key"], ["bucket", "key", "version"]
    op.create_index(op.f("ix_object_version_bucket_listed_key"), "object_version", seen, unique=False)
    op.create_index(op.f("ix_object_version_bucket_key_version"), "object_version", named, unique=True)
    _create_bucket_counts()
    op.create_table(
        "notification",
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bucket", sa.String(length=63), nullable=False),
        sa.Column("routing_key", sa.String(length=255), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("account", "sequence", "bucket", name=op.f("pk_notification")),
    )
    op.create_table(
        "part",
        sa.Column("upload", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("blob", sa.String(length=40), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.String(length=40), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("modified", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("upload", "number", name=op.f("pk_part")),
    )
    op.create_table(
        "upload",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("bucket", sa.String(length=63), nullable=False),
        sa.Column("key", key, nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("initiator", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("storage_class", sa.String(length=20), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload")),
    )
    op.create_index(op.f("ix_upload_bucket_key_id"), "upload", ["bucket", "key", "id"], unique=False)
    op.create_table(
        "address_pool",
        sa.Column("range", sa.String(length=33), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("range", name=op.f("pk_address_pool")),
    )
    op.create_table(
        "fixed_network",
        sa.Column("cidr", sa.String(length=20), nullable=False),
        sa.Column("label", sa.String(length=255), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=True),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("cidr", name=op.f("pk_fixed_network")),
    )
    with op.batch_alter_table("fixed_network", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_fixed_network_account"), ["account"], unique=False)

    op.create_table(
        "instance_type",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("vcpus", sa.BigInteger(), nullable=False),
        sa.Column("memory_mib", sa.BigInteger(), nullable=False),
        sa.Column("requires", sa.JSON(), nullable=False),
        sa.Column("offered", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_instance_type")),
    )
    op.create_table(
        "instance_use",
        sa.Column("instance", sa.String(length=40), nullable=False),
        sa.Column("begun", sa.Double(), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("vcpus", sa.BigInteger(), nullable=False),
        sa.Column("memory_mib", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("instance", "begun", name=op.f("pk_instance_use")),
    )
    with op.batch_alter_table("instance_use", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_instance_use_account"), ["account"], unique=False)
        batch_op.create_index(batch_op.f("ix_instance_use_ended"), ["ended"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("instance_use", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_instance_use_ended"))
        batch_op.drop_index(batch_op.f("ix_instance_use_account"))

    op.drop_table("instance_use")
    op.drop_table("instance_type")
    with op.batch_alter_table("fixed_network", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_fixed_network_account"))

    op.drop_table("fixed_network")
    op.drop_table("address_pool")
    for name in (
        "profile_association",
        "policy_inline",
        "secret",
        "policy_attachment",
        "policy_version",
        "policy",
        "entity_member",
        "entity",
    ):
        op.drop_table(name)
    for table in ("upload", "part", "notification", "object_version", "bucket_count", "bucket", "blob"):
        op.drop_table(table)
    with op.batch_alter_table("work", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_work_due"))

    op.drop_table("work")
    op.drop_table("vpc_host")
    with op.batch_alter_table("vpc", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_vpc_account"))

    op.drop_table("vpc")
    op.drop_table("vlan")
    with op.batch_alter_table("volume", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_volume_snapshot"))
        batch_op.drop_index(batch_op.f("ix_volume_image_file"))
        batch_op.drop_index(batch_op.f("ix_volume_base"))
        batch_op.drop_index(batch_op.f("ix_volume_account"))

    op.drop_table("volume")
    op.drop_table("attachment")
    with op.batch_alter_table("snapshot_permission", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_snapshot_permission_account"))

    op.drop_table("snapshot_permission")
    with op.batch_alter_table("snapshot", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_snapshot_volume"))
        batch_op.drop_index(batch_op.f("ix_snapshot_source"))
        batch_op.drop_index(batch_op.f("ix_snapshot_instance"))
        batch_op.drop_index(batch_op.f("ix_snapshot_base"))
        batch_op.drop_index(batch_op.f("ix_snapshot_account"))

    op.drop_table("snapshot")
    with op.batch_alter_table("tag", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tag_account"))

    op.drop_table("tag")
    with op.batch_alter_table("subnet", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_subnet_vpc"))
        batch_op.drop_index(batch_op.f("ix_subnet_account"))

    op.drop_table("subnet")
    op.drop_table("join_ticket")
    op.drop_table("service")
    with op.batch_alter_table("security_group_rule", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_security_group_rule_source_group"))
        batch_op.drop_index(batch_op.f("ix_security_group_rule_group_id"))

    op.drop_table("security_group_rule")
    op.drop_table("security_group_host")
    with op.batch_alter_table("security_group", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_security_group_account"))

    op.drop_table("security_group")
    op.drop_table("placement_group")
    op.drop_table("left_behind")
    with op.batch_alter_table("launch_template_version", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_launch_template_version_account"))

    op.drop_table("launch_template_version")
    op.drop_table("launch_template")
    op.drop_table("key_pair")
    with op.batch_alter_table("interface_group", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_interface_group_group_id"))

    op.drop_table("interface_group")
    with op.batch_alter_table("interface", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_interface_vpc"))
        batch_op.drop_index(batch_op.f("ix_interface_instance"))
        batch_op.drop_index(batch_op.f("ix_interface_account"))

    op.drop_table("interface")
    with op.batch_alter_table("instance", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_instance_reservation"))
        batch_op.drop_index(batch_op.f("ix_instance_placement_group"))
        batch_op.drop_index(batch_op.f("ix_instance_host"))
        batch_op.drop_index(batch_op.f("ix_instance_ended"))
        batch_op.drop_index(batch_op.f("ix_instance_account"))

    op.drop_table("instance")
    with op.batch_alter_table("image_task", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_image_task_image_file"))
        batch_op.drop_index(batch_op.f("ix_image_task_account"))

    op.drop_table("image_task")
    with op.batch_alter_table("image_permission", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_image_permission_account"))

    op.drop_table("image_permission")
    with op.batch_alter_table("image_disk", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_image_disk_snapshot"))

    op.drop_table("image_disk")
    with op.batch_alter_table("image_copy", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_image_copy_host"))

    op.drop_table("image_copy")
    with op.batch_alter_table("image_file", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_image_file_account"))

    op.drop_table("image_file")
    with op.batch_alter_table("image", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_image_image_file"))
        batch_op.drop_index(batch_op.f("ix_image_account"))

    op.drop_table("image")
    op.drop_table("host")
    with op.batch_alter_table("client_token", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_client_token_created"))

    op.drop_table("client_token")
    with op.batch_alter_table("certificate", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_certificate_account"))

    op.drop_table("certificate")
    with op.batch_alter_table("address", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_address_interface"))
        batch_op.drop_index(batch_op.f("ix_address_account"))

    op.drop_table("address")
    op.drop_table("account")
    with op.batch_alter_table("access_key", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_access_key_account"))

    op.drop_table("access_key")


def _create_bucket_counts() -> None:
    op.create_table(
        "bucket_count",
        sa.Column("bucket", sa.String(length=63), nullable=False),
        sa.Column("configuration", sa.String(length=64), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("gets", sa.BigInteger(), nullable=False),
        sa.Column("puts", sa.BigInteger(), nullable=False),
        sa.Column("deletes", sa.BigInteger(), nullable=False),
        sa.Column("heads", sa.BigInteger(), nullable=False),
        sa.Column("posts", sa.BigInteger(), nullable=False),
        sa.Column("lists", sa.BigInteger(), nullable=False),
        sa.Column("client_errors", sa.BigInteger(), nullable=False),
        sa.Column("server_errors", sa.BigInteger(), nullable=False),
        sa.Column("bytes_in", sa.BigInteger(), nullable=False),
        sa.Column("bytes_out", sa.BigInteger(), nullable=False),
        sa.Column("first_byte_ms", sa.BigInteger(), nullable=False),
        sa.Column("total_ms", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("bucket", "configuration", name=op.f("pk_bucket_count")),
    )
