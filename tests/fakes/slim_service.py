"""An assistant whose models are elsewhere, and its answer service in a Python of one's choice, asked one question."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

from document_fakes import LineParser, ingest
from hosted_vendor import BASES
from openai_embeddings_fake import KEY, embeddings_server
from openai_hosted_fake import hosted_server
from pydantic import SecretStr

from infra.settings import Settings
from infra.workbench import open_workbench
from tasks.core.candidates import reference
from tasks.core.prompts import default_prompt
from tasks.core.releases import ModelRef, ReleaseManifest, RetrievalSettings

HEAVY = ("torch", "transformers", "peft", "prefect", "unstructured", "sentence_transformers")
QUESTION = "How many litres of water does the pump move per minute?"
PAGE = "# Bilge pump\n\nThe pump moves 90 litres of water per minute.\n"


@dataclass(frozen=True)
class Elsewhere:
    """An assistant with one page and a current release, and the variables that a service of it needs."""

    home: Path
    release: str
    environment: Mapping[str, str]


@contextmanager
def models_elsewhere(folder: Path, embedder: str = "openai:tiny-embedding") -> Iterator[Elsewhere]:
    """Chat model and embedder answer over HTTP, in OpenAI's protocol, as long as the context is open."""
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "pump.md").write_text(PAGE)
    with embeddings_server() as embedding, hosted_server() as hosted:
        chosen = {
            "home": str(folder / "home"),
            "embedder": embedder,
            "openai_base_url": embedding.url,
            "hosted_base_url": hosted.url,
        }
        keys = {"openai_api_key": KEY, "hosted_api_key": KEY}
        settings = Settings(**chosen, **{name: SecretStr(key) for name, key in keys.items()})  # type: ignore[arg-type]
        variables = {f"RATCHET_{name.upper()}": value for name, value in (chosen | keys).items()}
        yield Elsewhere(folder / "home", _promoted(settings, folder / "docs"), variables)


def _promoted(settings: Settings, documents: Path) -> str:
    bench = open_workbench("default", settings)
    ingest(replace(bench.documents, parser=LineParser()), str(documents))
    snapshot = bench.document_catalog.published("default")
    assert snapshot is not None
    manifest = ReleaseManifest(
        assistant="default",
        snapshot=reference(snapshot),
        model=ModelRef(kind="hosted", base=sorted(BASES)[0], base_digest=""),
        prompt=default_prompt(),
        retrieval=RetrievalSettings(k=1),
        pattern="rag",
    )
    release = bench.releases.register(manifest, "a test").id
    bench.releases.move_pointer(
        "default", release, expected=None, kind="promote", evaluation=None, unproven=True, who="a test", reason=""
    )
    bench.close()
    return release


def answered(python: Sequence[str], elsewhere: Elsewhere, log: Path) -> dict[str, Any]:
    """What `ratchet serve` in that Python answers to QUESTION. The process has ended when this returns."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    start = "from flows.cli import main; main()"
    command = [*python, "-c", start, "serve", "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RATCHET_", "OPENAI_"))}
    with log.open("w") as out:
        process = subprocess.Popen(
            command, env=environment | dict(elsewhere.environment), stdout=out, stderr=out, cwd=log.parent
        )
        try:
            return _asked(f"http://127.0.0.1:{port}", process, log)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)


def _asked(address: str, process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    body = json.dumps({"model": "default", "messages": [{"role": "user", "content": QUESTION}]}).encode()
    request = urllib.request.Request(
        f"{address}/v1/chat/completions", body, {"content-type": "application/json"}, method="POST"
    )
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return dict(json.load(response))
        except HTTPError as error:
            raise AssertionError(f"{error.code}: {error.read().decode()}\n{log.read_text()}") from error
        except URLError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"No service came up: {log.read_text()}") from error
            time.sleep(0.1)
