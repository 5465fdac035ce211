"""What an artifact holds: files of allowed formats, each with its digest, in a list whose own digest is the name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from tasks.core.errors import BadSetting, IntegrityFailure, NotFound
from tasks.core.releases import canonical_json

LIST = "files.json"
ALLOWED = frozenset({".safetensors", ".json", ".txt", ".jsonl", ".md", ".html"})
"""What an artifact may hold: formats that hold data only. Pickles (.bin, .pt, .pkl, .ckpt) can run code when loaded."""


def listed(folder: Path) -> dict[str, str]:
    """Every file's SHA-256 by POSIX path. Raises BadSetting for what an artifact may not hold."""
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder} to keep as an artifact.")
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or name == LIST:
            continue
        if path.is_symlink() or path.suffix not in ALLOWED:
            raise BadSetting(
                f"{name} cannot be part of an artifact: only plain files ending in {', '.join(sorted(ALLOWED))} can, "
                "because other formats may run code when they are loaded.",
                file=name,
            )
        with path.open("rb") as file:
            files[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return files


def list_text(files: Mapping[str, str]) -> bytes:
    """What stands in `files.json`."""
    return canonical_json(dict(files)).encode()


def digest_of(text: bytes) -> str:
    """The artifact whose `files.json` this is."""
    return "sha256-" + hashlib.sha256(text).hexdigest()


def checked(digest: str) -> str:
    """The digest, which is about to become a path. Raises NotFound for what is none."""
    kind, _, digits = digest.partition("-")
    if kind != "sha256" or len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        raise NotFound(f"{digest!r} is not an artifact's digest.", digest=digest)
    return digest


def checked_names(files: Mapping[str, str], place: str) -> Mapping[str, str]:
    """The list of a store elsewhere, whose names are about to become paths here. Raises IntegrityFailure."""
    for name in files:
        path = PurePosixPath(name)
        is_inside = not path.is_absolute() and ".." not in path.parts and path.as_posix() == name and "\\" not in name
        if not is_inside or path.suffix not in ALLOWED or name == LIST:
            raise IntegrityFailure(
                f"{place} lists {name!r}, which an artifact may not hold. Whoever can write to the store put it there "
                "by other means than Ratchet's: find out who.",
                file=name,
            )
    return files
