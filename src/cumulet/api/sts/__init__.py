"""The Security Token Service."""

from cumulet.api.sts import identity

__all__ = ["identity"]
