"""S3: buckets, objects, and all that they are set to. Importing this registers the operations."""

from __future__ import annotations

from cumulet.api.s3 import (
    absent,
    bucket_rules,
    bucket_settings,
    buckets,
    copying,
    deleting,
    lifecycles,
    listing,
    metrics,
    multipart,
    notifications,
    object_settings,
    objects,
)

MODULES = (
    absent,
    bucket_rules,
    bucket_settings,
    buckets,
    copying,
    deleting,
    lifecycles,
    listing,
    metrics,
    multipart,
    notifications,
    object_settings,
    objects,
)
