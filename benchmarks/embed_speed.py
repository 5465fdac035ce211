"""How fast the packaged MiniLM embeds in numpy, beside the same model in torch (transformers) and in ONNX Runtime.

    .venv/bin/python benchmarks/embed_speed.py [FOLDER]

Prints one row per way: seconds from a fresh process to the first vector, memory then, milliseconds for one question,
passages per second on one and on two threads (the best of three rounds, the ways taking turns), how far vectors are
from torch's, and how many of torch's ten nearest passages are kept. ONNX Runtime joins when `onnxruntime` and `onnx`
are installed: `pip install onnxruntime onnx`. FOLDER: markdown to cut passages from; default: the demo's handbook.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
QUESTION = ["How do I replace the seal of the pump?"]
PASSAGES, CHARACTERS, ROUNDS = 120, 700, 3
WAYS = ["torch", "numpy", *(["onnx"] if find_spec("onnxruntime") and find_spec("onnx") else [])]
Embed = Callable[[Sequence[str], int], np.ndarray]


def in_numpy() -> Embed:
    from infra.adapters.minilm_embedder import MiniLmEmbedder

    return lambda texts, threads: MiniLmEmbedder(threads).embed(texts)


def in_torch() -> Embed:
    """Padded batches of 32, sorted by length."""
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    from infra.adapters.minilm_embedder import MAX_TOKENS, _folder

    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(_folder(), local_files_only=True)
    model = AutoModel.from_pretrained(_folder(), local_files_only=True).eval()

    def embed(texts: Sequence[str], threads: int) -> np.ndarray:
        torch.set_num_threads(threads)
        vectors = np.zeros((len(texts), 384), np.float32)
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            batch = [texts[row] for row in rows]
            tokens = tokenizer(batch, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
            with torch.inference_mode():
                states = model(**tokens).last_hidden_state
                mask = tokens["attention_mask"].unsqueeze(-1)
                vectors[rows] = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1).numpy()
        return vectors

    return embed


def in_onnx() -> Embed:
    """One text at a time, as in numpy: whole texts side by side on threads."""
    import onnxruntime

    from infra.adapters.minilm_embedder import _token_ids

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    path = Path(tempfile.gettempdir()) / "ratchet-embed-speed-minilm.onnx"
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def one(ids: list[int]) -> np.ndarray:
        vector: np.ndarray = session.run(None, {"ids": np.array([ids])})[0][0]
        return vector

    def embed(texts: Sequence[str], threads: int) -> np.ndarray:
        with ThreadPoolExecutor(threads) as pool:
            return np.stack(list(pool.map(one, _token_ids(texts))))

    return embed


OPEN: dict[str, Callable[[], Embed]] = {"torch": in_torch, "numpy": in_numpy, "onnx": in_onnx}


def write_onnx() -> None:
    """The encoder as a graph, from the weights as `BertEncoder` holds them."""
    import onnx
    from onnx import helper, numpy_helper

    from infra.adapters.bert_encoder import HALF_ROOT, BertEncoder
    from infra.adapters.minilm_embedder import _folder

    encoder = BertEncoder.load(_folder())
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(value: Any) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), f"constant{len(constants)}"))
        return str(constants[-1].name)

    def node(kind: str, *inputs: str, outputs: int = 1, **settings: Any) -> Any:
        names = [f"value{len(nodes)}_{n}" for n in range(outputs)]
        nodes.append(helper.make_node(kind, list(inputs), names, **settings))
        return names[0] if outputs == 1 else names

    def linear(x: str, weight: Any, bias: Any) -> Any:
        return node("Add", node("MatMul", x, constant(weight)), constant(bias))

    def norm(x: str, parts: Any) -> Any:
        return node("LayerNormalization", x, constant(parts.weight), constant(parts.bias), epsilon=1e-12)

    zero, one, two = (constant(np.array([n], np.int64)) for n in range(3))
    length = node("Slice", node("Shape", "ids"), one, two, zero)
    places = node("Slice", constant(encoder._places), zero, length, zero)
    x = norm(node("Add", node("Gather", constant(encoder._words), "ids"), places), encoder._start)
    by_head, whole = (constant(np.array(shape, np.int64)) for shape in ([0, 0, 12, 32], [0, 0, 384]))
    for layer in encoder._layers:
        parts = node(
            "Split", linear(x, layer.attention.weight, layer.attention.bias), outputs=3, axis=-1, num_outputs=3
        )
        queries, keys, values = (
            node("Transpose", node("Reshape", part, by_head), perm=order)
            for part, order in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
        )
        context = node("MatMul", node("Softmax", node("MatMul", queries, keys), axis=-1), values)
        context = node("Reshape", node("Transpose", context, perm=[0, 2, 1, 3]), whole)
        x = norm(node("Add", linear(context, layer.merge.weight, layer.merge.bias), x), layer.merged)
        wide = node("Gelu", linear(x, layer.widen.weight / HALF_ROOT, layer.widen.bias / HALF_ROOT))
        x = norm(node("Add", linear(wide, layer.narrow.weight / HALF_ROOT, layer.narrow.bias), x), layer.done)
    nodes.append(
        helper.make_node("LpNormalization", [node("ReduceMean", x, one, keepdims=0)], ["vector"], axis=-1, p=2)
    )
    graph = helper.make_graph(
        nodes,
        "minilm",
        [helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["texts", "tokens"])],
        [helper.make_tensor_value_info("vector", onnx.TensorProto.FLOAT, ["texts", 384])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, Path(tempfile.gettempdir()) / "ratchet-embed-speed-minilm.onnx")


def passages(folder: Path) -> list[str]:
    text = "\n\n".join(path.read_text() for path in sorted(folder.rglob("*.md")))
    cut = [text[start : start + CHARACTERS] for start in range(0, len(text), CHARACTERS)]
    return cut[:: max(1, len(cut) // PASSAGES)][:PASSAGES]


def start_up(way: str) -> dict[str, float]:
    """Measured inside a fresh process, the interpreter's own start left out; the second run, with warm files."""
    command = [sys.executable, __file__, "--first", way]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout for _ in range(2)]
    return dict(json.loads(runs[-1]))


def first_vector(way: str) -> None:
    began = time.perf_counter()
    OPEN[way]()(QUESTION, 1)
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "mib": peak_mib()}))


def peak_mib() -> float:
    """Of this process alone: `ru_maxrss` would begin with the parent's on Linux."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def best_seconds(ways: dict[str, Embed], texts: Sequence[str], threads: int, rounds: int) -> dict[str, float]:
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for way, embed in ways.items():
            began = time.perf_counter()
            embed(texts, threads)
            best[way] = min(best[way], time.perf_counter() - began)
    return best


def nearest_kept(vectors: np.ndarray, reference: np.ndarray) -> float:
    found, wanted = (np.argsort(-(rows @ rows.T), axis=1)[:, 1:11] for rows in (vectors, reference))
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, wanted, strict=True)]))


def compare(folder: Path) -> None:
    if "onnx" in WAYS:
        write_onnx()
    started = {way: start_up(way) for way in WAYS}
    texts, ways = passages(folder), {way: OPEN[way]() for way in WAYS}
    vectors = {way: embed(texts, 1) for way, embed in ways.items()}
    question = best_seconds(ways, QUESTION, 1, 10 * ROUNDS)
    batches = {threads: best_seconds(ways, texts, threads, ROUNDS) for threads in (1, 2)}
    print(f"{len(texts)} passages of {CHARACTERS} characters")
    head = f"{'way':6} {'first s':>8} {'MiB':>5} {'question ms':>12} {'1 thread/s':>14} {'2 threads/s':>14}"
    print(f"{head} {'off by':>8} kept")
    for way in WAYS:
        speeds = [
            f"{len(texts) / seconds[way]:.1f} ({seconds['torch'] / seconds[way]:.2f}x)" for seconds in batches.values()
        ]
        off = np.abs(vectors[way] - vectors["torch"]).max()
        print(
            f"{way:6} {started[way]['seconds']:8.2f} {started[way]['mib']:5.0f} {question[way] * 1000:12.1f} "
            f"{speeds[0]:>14} {speeds[1]:>14} {off:8.1e} {nearest_kept(vectors[way], vectors['torch']):.3f}"
        )


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "flows" / "demo" / "handbook")
    parser.add_argument("--first", choices=list(OPEN), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    first_vector(chosen.first) if chosen.first else compare(chosen.folder)
