"""What a user has not got here: MFA devices, certificates and keys of other kinds. Who looks for them finds none."""

from __future__ import annotations

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.iam.entities import found, own_or
from cumulet.lib.errors import Refusal

NO_MFA = "This cloud has no MFA devices: protect a user by a condition on aws:SourceIp, or by temporary credentials."


def _none(ctx: Context, user_name: str, member: str) -> Result:
    if user_name or ctx.principal.kind == "user":
        with ctx.read() as tx:
            found(tx, ctx, "user", own_or(ctx, user_name))
    return {member: [], "IsTruncated": False}


@action("iam", name="ListMFADevices")
def list_mfa_devices(ctx: Context, user_name: str = "", marker: str = "", max_items: int = 0) -> Result:
    """None."""
    return _none(ctx, user_name, "MFADevices")


@action("iam", name="ListVirtualMFADevices")
def list_virtual_mfa_devices(
    ctx: Context, assignment_status: str = "Any", marker: str = "", max_items: int = 0
) -> Result:
    """None."""
    return {"VirtualMFADevices": [], "IsTruncated": False}


@action("iam", name="CreateVirtualMFADevice")
def create_virtual_mfa_device(ctx: Context, virtual_mfa_device_name: str, path: str = "/") -> Result:
    """Refused."""
    raise Refusal("UnsupportedOperation", NO_MFA)


@action("iam", name="EnableMFADevice")
def enable_mfa_device(
    ctx: Context, user_name: str, serial_number: str, authentication_code1: str, authentication_code2: str
) -> Result:
    """Refused."""
    raise Refusal("UnsupportedOperation", NO_MFA)


@action("iam")
def list_signing_certificates(ctx: Context, user_name: str = "", marker: str = "", max_items: int = 0) -> Result:
    """None."""
    return _none(ctx, user_name, "Certificates")


@action("iam", name="ListSSHPublicKeys")
def list_ssh_public_keys(ctx: Context, user_name: str = "", marker: str = "", max_items: int = 0) -> Result:
    """None."""
    return _none(ctx, user_name, "SSHPublicKeys")


@action("iam")
def list_service_specific_credentials(ctx: Context, user_name: str = "", service_name: str = "") -> Result:
    """None."""
    return {"ServiceSpecificCredentials": _none(ctx, user_name, "Found")["Found"]}
