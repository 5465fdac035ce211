"""Base models on disk: made once, whole or not at all, and known by what they hold."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tiny_llama import tiny_llama

from infra.adapters import base_models
from infra.adapters.base_models import BaseModel, digest_of_model, find_base_model, load_base_model
from infra.adapters.folder_artifacts import FolderArtifacts
from infra.adapters.transformers_chat import TransformersChat
from tasks.core.answers import Passage
from tasks.core.citations import markers
from tasks.core.errors import NotFound, Stopped
from tasks.core.prompts import default_prompt, render
from tasks.documents import stopping


@pytest.fixture(scope="module")
def packaged(pytestconfig: pytest.Config) -> BaseModel:
    """Unpacked once into pytest's own cache: it takes half a minute."""
    return find_base_model(base_models.PACKAGED, pytestconfig.cache.mkdir("ratchet"))  # type: ignore[union-attr]


def test_a_folder_is_used_where_it_lies(tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path / "tiny")
    before = sorted(path.name for path in folder.iterdir())
    base = find_base_model(str(folder), tmp_path / "home")
    assert base.folder == folder
    assert base.digest == digest_of_model(folder)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert load_base_model(base).model.config.hidden_size == 32


def test_other_weights_are_another_digest_even_in_the_same_folder(tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path / "tiny")
    first = find_base_model(str(folder), tmp_path / "home").digest
    time.sleep(0.01)  # file times must be able to tell
    tiny_llama(folder, seed=5)
    assert find_base_model(str(folder), tmp_path / "home").digest != first


def test_who_saved_the_model_does_not_change_its_digest(tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path / "tiny")
    first = digest_of_model(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"transformers_version": "9.9"}))
    assert digest_of_model(folder) == first
    (folder / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.5}))
    assert digest_of_model(folder) != first


def test_a_kill_while_building_leaves_nothing_that_is_taken_for_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "models" / f".building-{base_models.PACKAGED}-{_dead_pid()}-x"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"half")
    monkeypatch.setattr(base_models, "unpack_smollm2", tiny_llama)
    base = find_base_model(base_models.PACKAGED, tmp_path)
    assert base.digest == digest_of_model(base.folder)
    assert [path.name for path in (tmp_path / "models").iterdir()] == [base_models.PACKAGED]


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(target: Path) -> None:
        (target / "model.safetensors").write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(base_models, "unpack_smollm2", fails)
    with pytest.raises(OSError, match="no space left"):
        find_base_model(base_models.PACKAGED, tmp_path)
    assert list((tmp_path / "models").iterdir()) == []


def test_two_runs_at_once_end_with_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=20)

    def build(target: Path) -> None:
        both.wait()
        (target / "model.safetensors").write_bytes(b"weights")

    monkeypatch.setattr(base_models, "unpack_smollm2", build)
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(find_base_model(base_models.PACKAGED, tmp_path).digest))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 2
    assert len(set(found)) == 1
    assert [path.name for path in (tmp_path / "models").iterdir()] == [base_models.PACKAGED]


def test_a_folder_without_weights_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="safetensors"):
        find_base_model(str(tmp_path), tmp_path / "home")


def test_a_model_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path / "tiny")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(NotFound, match="chat template"):
        load_base_model(find_base_model(str(folder), tmp_path / "home"))


def _dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.model
def test_the_packaged_model_reads_a_passage_and_cites_it(packaged: BaseModel, tmp_path: Path) -> None:
    chat = TransformersChat(packaged, FolderArtifacts(tmp_path))
    texts = [
        "Halden 300 > Pressure\nThe Halden 300 runs at up to 42 bar. A red dial shows the pressure.",
        "Skerry pump > Hose\nThe Skerry pump carries 15 metres of hose. Rinse the hose after use.",
    ]
    passages = [Passage(n, f"p{n}.md", f"c-{n}", text, 1.0, 0.5) for n, text in enumerate(texts, start=1)]
    questions = ["What pressure does the Halden 300 run at?", "How much hose does the Skerry pump carry?"]
    prompts = [render(default_prompt(), passages, question) for question in questions]
    model = chat.open(chat.base())
    together = [written.text for written in model.complete(prompts, max_new_tokens=32)]
    assert "42 bar" in together[0]
    assert "15 metres" in together[1]
    assert any(markers(text) for text in together)
    assert together == [model.complete([prompt], max_new_tokens=32)[0].text for prompt in prompts]
    assert together == ["".join(model.stream(prompt, max_new_tokens=32)) for prompt in prompts]


@pytest.mark.long
def test_a_run_that_is_to_end_while_it_unpacks_ends_soon_and_leaves_nothing(tmp_path: Path) -> None:
    raised: list[Exception] = []

    def unpack(stop: threading.Event) -> None:
        stopping.set(stop)
        try:
            find_base_model(base_models.PACKAGED, tmp_path)
        except Stopped as error:
            raised.append(error)

    stop = threading.Event()
    thread = threading.Thread(target=unpack, args=(stop,))
    thread.start()
    begun = time.monotonic()
    while not (children := _unpacking(tmp_path)) and time.monotonic() < begun + 30:
        time.sleep(0.05)
    time.sleep(1)  # it imports, or converts
    stop.set()
    asked = time.monotonic()
    thread.join(60)
    assert time.monotonic() - asked < 2
    assert children
    assert len(raised) == 1
    assert _unpacking(tmp_path) == []
    assert list((tmp_path / "models").iterdir()) == []


def _unpacking(home: Path) -> list[str]:
    """Process ids of those that unpack into this home."""
    named = ["pgrep", "-f", f"packaged_model .* {home}/"]
    return subprocess.run(named, stdout=subprocess.PIPE, text=True, check=False).stdout.split()
