"""Cumulet: a private cloud behind the EC2 and S3 APIs."""

__version__ = "0.1.0"
