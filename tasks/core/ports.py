"""What Ratchet asks of the outside world. One adapter per Protocol and outside thing, under `infra/adapters`.

The contract is written here once; adapters do not repeat it. The catalog is SQL on every backend, so its Protocols
stand beside the steps that use them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from pydantic import JsonValue

from tasks.core.changes import Turnover
from tasks.core.documents import Element, Hit, IndexedLife, SourceFile
from tasks.core.releases import ModelRef, RetrievalSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.core.hosted_jobs import Checkpoint, JobRequest, RemoteEvent, RemoteJob

    Vectors = NDArray[np.float32]

Progress = Callable[[str, int, int], None]  # (what, done, total)


# ── documents ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Source(Protocol):
    """Where documents come from. Reading never changes it."""

    @property
    def uri(self) -> str:
        """How the source was named: an absolute path, `s3://…`, `git+…`."""

    def files(self) -> Iterable[SourceFile]:
        """Every file, sorted by URI. Raises SourceMissing when the root itself is not there."""

    def read(self, uri: str) -> bytes:
        """The bytes of one file."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document as elements in reading order."""

    uri: str
    elements: tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class Unparsable:
    """A document that cost only itself: why, in a sentence for the person who owns the file."""

    uri: str
    reason: str
    transient: bool = False  # it may go better under less load: out of time or memory, or the parser was killed


class Parser(Protocol):
    """Bytes to elements, in a killable subprocess with limits on time and memory."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same bytes could give other elements."""

    @property
    def limits(self) -> str:
        """Changes whenever a document that was refused could now be accepted: time, memory, size."""

    @property
    def readable(self) -> Sequence[str]:
        """The suffixes of what can be read, for messages."""

    def refuses(self, uri: str, size_bytes: int) -> str | None:
        """Why a file is not worth reading, from its name and size alone; None when it is."""

    def kind(self, uri: str) -> str | None:
        """What the name says the bytes are, such as `.docx`; None when no reader for it exists."""

    def parse(self, files: Iterable[tuple[str, bytes]]) -> Iterator[Parsed | Unparsable]:
        """One result per file, in order. Never raises for the content of a file."""


class Embedder(Protocol):
    """Texts to unit vectors."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same text could give another vector."""

    @property
    def dimensions(self) -> int:
        """Length of one vector."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(n_texts, dimensions) float32, unit length, in the order given."""

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """The same for questions; models that tell questions from passages embed them otherwise."""

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Tokens that `embed` would process, and bill, for these texts, after cutting what is too long."""

    @property
    def counts_tokens_exactly(self) -> bool:
        """Whether `count_tokens` is what is billed; else it is an estimate."""

    @property
    def usd_per_million_tokens(self) -> float:
        """What a million tokens cost; 0 when they are embedded here."""


class VectorIndex(Protocol):
    """Lives of chunks with their vectors, readable as of any published snapshot. Derived: the catalog refills it."""

    @property
    def exact(self) -> bool:
        """Whether scores depend on a snapshot's own chunks only, so that a snapshot answers the same for ever.

        Where they do not, keyword statistics count every chunk that is stored, and old answers can drift.
        """

    def stamp(self, collection: str) -> str | None:
        """Whose collection this is; None when it is not there. Does not write."""

    def claim(self, collection: str, stamp: str, token: int) -> None:
        """From now on, writes with a smaller token raise LeaseLost. Without a collection so stamped, one is made.

        What was there under another stamp is gone: the caller puts every life again.
        """

    def put(self, collection: str, lives: Sequence[IndexedLife], token: int) -> Sequence[IndexedLife]:
        """Stores births and deaths as they are given; returns the lives that the store did NOT confirm, one by one.

        Safe to repeat, with all of them or with those that came back.
        """

    def undo(self, collection: str, snapshot: int, token: int) -> None:
        """Removes every birth and every death at `snapshot` or later."""

    def turnover(self, collection: str, snapshot: int) -> Turnover:
        """Ids of the chunks born at exactly `snapshot` and of those that died at it, read back from the store."""

    def count(self, collection: str, snapshot: int) -> int:
        """How many chunks are alive at `snapshot`: born ≤ snapshot and not died ≤ snapshot."""

    def chunk_ids(self, collection: str, snapshot: int) -> set[str]:
        """Ids alive at `snapshot`."""

    def search(
        self, collection: str, snapshot: int, text: str, vector: Vectors, settings: RetrievalSettings
    ) -> list[Hit]:
        """The best chunks alive at `snapshot`, best first, ties broken by chunk id; as many as `settings.wanted`.

        Only chunks that `settings.admits` are found. Hits carry no neighbours.
        """

    def reclaim(self, collection: str, keep_snapshots: Sequence[int], token: int) -> int:
        """Deletes lives that none of `keep_snapshots` (nor anything newer than the newest of them) can read."""

    def drop(self, collection: str, token: int) -> None:
        """Deletes a collection that nothing reads any more. One that is not there is no error."""


class Reranker(Protocol):
    """Reads question and passage together: slower and better than comparing vectors."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same pair could get another score."""

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """How well each text answers the question, higher is better, in the order given."""


# ── models ───────────────────────────────────────────────────────────────────────────────────────────────────────────

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote. Greedy decoding: the same prompt and model give the same text."""

    text: str
    prompt_tokens: int
    completion_tokens: int


class ChatModel(Protocol):
    """One model, ready to answer."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same prompt could give another completion: weights, adapter, precision, library."""

    def complete(
        self, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int, progress: Progress | None = None
    ) -> list[Completion]:
        """One completion per prompt, in order."""

    def stream(self, prompt: Sequence[Message], *, max_new_tokens: int) -> Iterator[str]:
        """The same completion as `complete`, in pieces."""

    def count_tokens(self, prompt: Sequence[Message]) -> int:
        """Tokens of the rendered prompt, generation prompt included."""


@runtime_checkable
class AnswersWithBase(Protocol):
    """A tuned model that answers as its base too, and reads once what both read."""

    def complete_with_base(
        self, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int, progress: Progress | None = None
    ) -> list[tuple[Completion, Completion]]:
        """Per prompt what `complete` gives, and what its base's gives."""


class ChatModels(Protocol):
    """Opens models. Opening an adapter runs its proof and raises AdapterBroken; opening twice is cheap."""

    def base(self) -> ModelRef:
        """The configured base model, with its digest."""

    def open(self, model: ModelRef) -> ChatModel:
        """The model, ready. Raises NotFound, AdapterBroken or ModelUnavailable."""


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One row: the prompt exactly as serving renders it, and the completion that carries the loss."""

    label_id: str
    prompt: tuple[Message, ...]
    completion: str


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What a training made. metrics: flat numbers such as loss, tokens_per_second, seconds.

    origin: settings and versions, for the record. curves: (step, loss) by "training" and "validation".
    """

    model: ModelRef
    metrics: Mapping[str, float]
    seconds: float
    origin: Mapping[str, object] = field(default_factory=dict)
    curves: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)


class Trainer(Protocol):
    """Rows to a model in the artifact store. The same rows, settings and seed give the same adapter on one machine."""

    @property
    def fingerprint(self) -> str:
        """Base model, settings, seed and library versions."""

    def train(
        self,
        rows: Sequence[TrainingRow],
        validation: Sequence[TrainingRow],
        workdir: Path,
        progress: Progress | None = None,
    ) -> TrainedModel:
        """Trains in `workdir`, which a second call after a kill resumes from."""


class FineTuning(Protocol):
    """A vendor's training service. Each call is one request or few, tried once: whoever calls decides what is repeated.

    Every call raises HostedUnavailable or RateLimited when the service cannot be asked now, and WrongKey, NotAllowed,
    NotFound, QuotaExhausted, TrainingRetired or UsageError when it refuses.
    """

    @property
    def name(self) -> str:
        """Whom is spoken to, for messages and fingerprints: a host."""

    def check(self) -> None:
        """Raises what a key or an account would be refused with. Creates nothing."""

    def upload(self, name: str, content: bytes) -> str:
        """Stores a file to train on; returns its id. A repeated upload is another file."""

    def find_file(self, name: str, size_bytes: int) -> str | None:
        """The id of a whole file of that name and size to train on; None when none is listed."""

    def has_file(self, file: str) -> bool:
        """Whether the file is there."""

    def delete_file(self, file: str) -> None:
        """Deletes a file. One that is not there is no error."""

    def create(self, request: JobRequest) -> RemoteJob:
        """Creates a job that will be paid for. Sent once. Raises OutcomeUnknown when it may have been created."""

    def jobs(self, mark: str, since: float) -> Sequence[RemoteJob]:
        """Listed jobs created at `since` or later that carry the mark, or no mark at all."""

    def job(self, job: str) -> RemoteJob:
        """How a job is."""

    def cancel(self, job: str) -> RemoteJob:
        """Ends a job. One that has ended already stays as it is."""

    def events(self, job: str, after: str | None) -> Sequence[RemoteEvent]:
        """What was told about a job after that event, oldest first; without one, from the beginning."""

    def checkpoints(self, job: str) -> Sequence[Checkpoint]:
        """The models kept on the way, by step."""


@dataclass(frozen=True, slots=True)
class JudgeQuestion:
    """One thing a judging model is asked. The schema is that of the JSON object it shall answer with."""

    prompt: tuple[Message, ...]
    name: str  # of the schema: letters, digits, `-` and `_`
    schema: Mapping[str, JsonValue]
    seed: int


@dataclass(frozen=True, slots=True)
class JudgeReply:
    """What a judging model wrote, not yet looked at, and what that cost."""

    text: str  # of a refusal: why
    ending: Literal["whole", "cut", "refused"]
    cost_usd: float


class Judge(Protocol):
    """A model that is asked what it thinks of answers. Safe to use from several threads."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same question could get another reply, as far as that can be known from here."""

    def most_usd(self, question: JudgeQuestion) -> float:
        """What asking can cost at most. Asks nothing."""

    def ask(self, question: JudgeQuestion) -> JudgeReply:
        """The reply, as deterministic as the model can be. Costs at most `most_usd`.

        Raises ModelUnavailable when it cannot be asked now, and BadSetting, NotFound, UsageError or CannotRetry when
        it never can.
        """


# ── artifacts ────────────────────────────────────────────────────────────────────────────────────────────────────────


class ArtifactStore(Protocol):
    """Immutable folders named by the digest of what they hold; the file list, written last, means whole."""

    def put(self, folder: Path) -> str:
        """Copies a folder in; returns its digest (`sha256-…`). Putting the same content again changes nothing."""

    def path(self, digest: str) -> Path:
        """A local folder to read from. Raises NotFound, or IntegrityFailure when bytes do not match the digest."""

    def exists(self, digest: str) -> bool:
        """Whether the folder is there and whole; does not read the bytes."""
