"""How S3, or what speaks its protocol, is named and reached. Credentials and region come from the usual AWS chain."""

from __future__ import annotations

import re
from typing import Any

from tasks.core.errors import BadSetting, UsageError

PREFIX = "s3://"
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 10, 60, 3
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")


def bucket_and_prefix(uri: str) -> tuple[str, str]:
    """Bucket, and prefix without the slash at its end. Raises UsageError."""
    bucket, _, prefix = uri.removeprefix(PREFIX).partition("/")
    if not uri.startswith(PREFIX) or not _BUCKET.fullmatch(bucket):
        raise UsageError(
            f"{uri!r} is not a bucket and prefix. Write s3://bucket/prefix; a bucket has 3 to 63 small letters, "
            "digits, dots and hyphens."
        )
    return bucket, prefix.rstrip("/")


def new_client(endpoint_url: str | None) -> Any:
    """A boto3 client of S3. endpoint_url: where the store is, when it is not AWS. Raises BadSetting for no URL."""
    import boto3
    from botocore.config import Config  # type: ignore[import-untyped]

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        user_agent_extra="ratchet",
    )
    try:
        return boto3.session.Session().client("s3", endpoint_url=endpoint_url, config=config)
    except ValueError as error:
        raise BadSetting(f"RATCHET_S3_ENDPOINT_URL is not a URL: {error}. Write https://host:port.") from error
