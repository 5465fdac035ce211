"""What S3 and its client say, in words for the person who must act."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.core.errors import NotFound, RatchetError, SourceMissing, WorthRetrying

PASSING = frozenset({"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "RequestLimitExceeded"})
SIGNING = frozenset(
    {
        *("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"),
        "XAdminUserNotFound",  # of the Versity gateway, for a key that nobody has
    }
)


@contextmanager
def explained(source: str, uri: str = "") -> Iterator[None]:
    """Translates errors of botocore. With `uri`, one object was asked for: NotFound when it is not to be had.

    Raises SourceMissing when somebody must change something, WorthRetrying when it may work later.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    try:
        yield
    except ClientError as error:
        raise _refused(source, uri, error) from error
    except BotoCoreError as error:
        raise _unsent(source, error) from error


def _refused(source: str, uri: str, error: Exception) -> RatchetError:
    """For an answer of the store that is an error."""
    response = getattr(error, "response", {})
    said, status = response.get("Error", {}), response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(said.get("Code", status))
    if code == "NoSuchBucket":
        return SourceMissing(f"The bucket of {source} is not there. Check its name, and the endpoint.", uri=source)
    if code in PASSING or status == 429 or status >= 500:
        return WorthRetrying(f"{source} cannot be read now: the store answers {code}. Try again later.", uri=source)
    if code in SIGNING:
        return SourceMissing(
            f"{source} refuses the credentials: {code}. Renew what AWS_ACCESS_KEY_ID, AWS_PROFILE or the machine's "
            "role gives.",
            uri=source,
        )
    if uri:
        return NotFound(f"{uri} cannot be read: {_OBJECT.get(code, f'the store answers {code}')}.", uri=uri)
    if code in ("AccessDenied", "403"):
        return SourceMissing(
            f"{source} may not be listed. Allow s3:ListBucket on the bucket and s3:GetObject on its keys.", uri=source
        )
    return SourceMissing(f"{source} cannot be listed: {code}, {said.get('Message', 'no reason given')}.", uri=source)


_OBJECT = {
    "NoSuchKey": "it is no longer in the bucket",
    "404": "it is no longer in the bucket",
    "AccessDenied": "access is denied; allow s3:GetObject (and kms:Decrypt, where it is encrypted)",
    "403": "access is denied; allow s3:GetObject (and kms:Decrypt, where it is encrypted)",
    "InvalidObjectState": "it is archived; restore it and copy it to the STANDARD class",
}


def _unsent(source: str, error: Exception) -> RatchetError:
    """For a request that got no answer, or was never sent."""
    from botocore import exceptions  # type: ignore[import-untyped]

    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return SourceMissing(
            f"There are no AWS credentials to read {source} with. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "AWS_PROFILE, or give the machine a role.",
            uri=source,
        )
    said = without_password(error)
    if isinstance(error, exceptions.ConnectionError | exceptions.HTTPClientError | exceptions.IncompleteReadError):
        return WorthRetrying(
            f"{source} cannot be reached: {said}. Check the endpoint and the network, and try again.", uri=source
        )
    return SourceMissing(f"{source} cannot be read: {said}. Check the AWS configuration.", uri=source)


def without_password(error: Exception) -> str:
    """What the error says. An endpoint's URL may hold a password."""
    return re.sub(r"://[^/\s]*@", "://", str(error)).rstrip(".")
