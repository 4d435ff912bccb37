"""What a client is told whose request met no database: by the query protocols and by S3 alike."""

from __future__ import annotations

from cumulet.lib.errors import Away, Conflict, Failure, Full, Refusal, Unsure

NO_DATABASE = (Conflict, Away, Unsure, Full)
"""What a transaction ends with that a client may send again."""
UNAVAILABLE: dict[type[Failure], str] = {
    Conflict: "Other requests changed the same resources again and again meanwhile; the request was not done. "
    "Send it again.",
    Away: "The database does not answer at the moment; the request was not done. Send it again in a few seconds.",
    Full: "The disk of the database is full; the request was not done. It can be sent again when there is room.",
    Unsure: "The database went away while the request was written down, so that it may have been done or not. "
    "Describe the resources, or send it again with the same client token where the action takes one.",
}


def unavailable(service: str, e: Failure) -> Refusal:
    """What a client is told who met no database: EC2 and the other services have different names for it."""
    return Refusal("Unavailable" if service == "ec2" else "ServiceUnavailable", UNAVAILABLE[type(e)], 503)
