"""The DNS names that AWS gives to public addresses."""

from __future__ import annotations


def public_name(ip: str, region: str) -> str:
    """`ec2-198-51-100-7.compute-1.amazonaws.com` in us-east-1, `ec2-….REGION.compute.amazonaws.com` elsewhere."""
    domain = "compute-1" if region == "us-east-1" else f"{region}.compute"
    return f"ec2-{ip.replace('.', '-')}.{domain}.amazonaws.com"
