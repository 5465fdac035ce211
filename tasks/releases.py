"""Steps that register, check, promote and roll back releases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from tasks.blessing import OpenProcesses, bless, expected, read_evidence
from tasks.core.document_catalog import DocumentCatalog
from tasks.core.errors import IndexIncomplete, NotFound, PromotionRefused, StaleComparison
from tasks.core.evidence import policy_id
from tasks.core.pace import Blessing
from tasks.core.policy import Policy
from tasks.core.ports import ArtifactStore, ChatModels, VectorIndex
from tasks.core.promotion import Judgement, Promotion, Standing, require_promotable, rollback_target, was_rolled_back
from tasks.core.releases import ReleaseManifest


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """A registered release. `cause` says in a few words why it was built."""

    id: str
    manifest: ReleaseManifest
    cause: str
    created_at: str


class ReleaseCatalog(Protocol):
    """Releases and the one pointer that says which is current."""

    def register(self, manifest: ReleaseManifest, cause: str) -> ReleaseRow:
        """The row of this manifest; registering an equal manifest again returns the first row."""

    def release(self, assistant: str, release: str) -> ReleaseRow:
        """Raises NotFound."""

    def releases(self, assistant: str) -> list[ReleaseRow]:
        """Newest first."""

    def standing(self, assistant: str) -> Standing:
        """What is being served now."""

    def history(self, assistant: str) -> list[Promotion]:
        """Every promotion and rollback, oldest first."""

    def move_pointer(
        self,
        assistant: str,
        release: str,
        *,
        expected: str | None,
        kind: str,
        evaluation: str | None,
        unproven: bool,
        who: str,
        reason: str,
        newest: int | None = None,
        overridden: Sequence[str] = (),
        approved_by: str | None = None,
        rehearsal: Blessing | None = None,
    ) -> Promotion | None:
        """Compare-and-set of the current pointer together with its history row; None when current is not `expected`.

        newest: seq of the newest history row there was when it was decided to move, 0 for none; None is also returned
        when there is a newer one by now. The first proven promotion makes its release the anchor as well.
        """


class Judgements(Protocol):
    """What evaluations concluded."""

    def judgement(self, assistant: str, release: str) -> Judgement | None:
        """The newest one of a release."""


@dataclass(frozen=True, slots=True)
class ReleaseBench:
    """What the release steps need."""

    assistant: str
    releases: ReleaseCatalog
    judgements: Judgements
    documents: DocumentCatalog
    index: VectorIndex
    open_chat: Callable[[], ChatModels]  # only where a release is opened in this process; a rollback opens none
    policy: Policy
    artifacts: ArtifactStore
    open_processes: OpenProcesses


def check_bundle(bench: ReleaseBench, manifest: ReleaseManifest) -> None:
    """Every part the manifest names is there, whole, and the one that was recorded, as this process sees it.

    Raises IndexIncomplete, NotFound or AdapterBroken.
    """
    check_snapshot(bench, manifest)
    bench.open_chat().open(manifest.model)


def check_snapshot(bench: ReleaseBench, manifest: ReleaseManifest) -> None:
    """The snapshot is published, is the recorded one, and the index holds exactly its chunks.

    Raises IndexIncomplete, and NotFound when vacuum reclaimed it.
    """
    refuse_reclaimed(bench.releases, bench.documents, manifest)
    pinned = manifest.snapshot
    snapshot = bench.documents.published(manifest.assistant, pinned.number)
    if snapshot is None:
        raise IndexIncomplete(
            f"Snapshot {pinned.number} of {manifest.assistant} is not published.", snapshot=pinned.number
        )
    if (snapshot.manifest_hash, snapshot.collection) != (pinned.manifest_hash, pinned.collection):
        raise IndexIncomplete(
            f"Snapshot {pinned.number} has manifest hash {snapshot.manifest_hash[:12]}, the release recorded "
            f"{pinned.manifest_hash[:12]}.",
            snapshot=pinned.number,
        )
    wanted = set(bench.documents.chunk_keys(manifest.assistant, pinned.number))
    held = bench.index.chunk_ids(pinned.collection, pinned.number)
    if wanted != held:
        raise IndexIncomplete(
            f"The index holds {len(held)} chunks of snapshot {pinned.number}, the catalog {len(wanted)}: "
            f"{len(wanted - held)} missing, {len(held - wanted)} unexpected. Re-ingest to rebuild it.",
            missing=len(wanted - held),
            unexpected=len(held - wanted),
        )


def refuse_reclaimed(releases: ReleaseCatalog, documents: DocumentCatalog, manifest: ReleaseManifest) -> None:
    """Raises NotFound when the documents a release answers from were reclaimed, naming the releases that remain."""
    number = manifest.snapshot.number
    reclaimed = documents.reclaimed(manifest.assistant)
    if number not in reclaimed:
        return
    rows = releases.releases(manifest.assistant)
    kept = [row.id for row in rows if row.manifest.snapshot.number not in reclaimed]
    raise NotFound(
        f"Release {manifest.id} cannot answer any more: its snapshot {number} was reclaimed by vacuum on "
        f"{reclaimed[number][:10]}. Releases kept: {', '.join(kept) or 'none'}.",
        release=manifest.id,
        snapshot=number,
        reclaimed_at=reclaimed[number],
    )


def promote(
    bench: ReleaseBench,
    release: str,
    *,
    golden_set: str | None,
    who: str,
    reason: str | None = None,
    override: bool = False,
    approved_by: str | None = None,
) -> Promotion | None:
    """Makes a proven release current once it has answered in the process that serves; None when it already is.

    override: accept the doubts of a HOLD, as far as the policy lets `who` do that. Refuses by name, see
    `require_promotable` and `bless`; nothing has moved then.
    """
    row = bench.releases.release(bench.assistant, release)
    history, standing = _seen(bench)
    if standing.release == row.id and not standing.unproven:
        return None
    judgement = bench.judgements.judgement(bench.assistant, row.id)
    accepted = require_promotable(
        row.id,
        standing,
        judgement,
        history,
        golden_set=golden_set,
        reason=reason,
        policy=policy_id(bench.policy),
        who=who,
        override=bench.policy.override if override else None,
    )
    assert judgement is not None  # require_promotable raised otherwise
    check_snapshot(bench, row.manifest)
    blessing = _bless(bench, row.id, judgement.id)
    why = _Why(judgement.id, False, who, reason or row.cause, accepted, approved_by, blessing)
    return _move(bench, row.id, standing, history, why)


def _bless(bench: ReleaseBench, release: str, evaluation: str) -> Blessing:
    evidence = read_evidence(bench.artifacts, evaluation)
    with bench.open_processes() as processes:
        return bless(processes, bench.assistant, release, expected(evidence), bench.policy.pace.least_agreement)


def promote_unproven(bench: ReleaseBench, release: str, *, allowed: bool, who: str) -> Promotion | None:
    """Makes a release current without proof, because no golden set exists yet.

    None when it already is, or was rolled back: it stays so until the documents change, or a person goes back to it.
    """
    if not allowed:
        raise PromotionRefused(
            "No golden set exists yet and allow_unproven is off, so nothing may go live. Import golden labels first: "
            "`ratchet labels import FILE.jsonl`."
        )
    row = bench.releases.release(bench.assistant, release)
    history, standing = _seen(bench)
    if standing.release == row.id or was_rolled_back(row.id, history):
        return None
    if standing.release is not None and not standing.unproven:
        raise PromotionRefused(f"{standing.release} is proven; an unproven release cannot replace it.", release=row.id)
    check_bundle(bench, row.manifest)
    return _move(bench, row.id, standing, history, _Why(None, True, who, f"unproven: {row.cause}"))


def _seen(bench: ReleaseBench) -> tuple[list[Promotion], Standing]:
    """The history, and then the pointer: what moves between the two is newer than the history, and so is noticed."""
    history = bench.releases.history(bench.assistant)
    return history, bench.releases.standing(bench.assistant)


@dataclass(frozen=True, slots=True)
class _Why:
    """What the history says of a promotion."""

    evaluation: str | None
    unproven: bool
    who: str
    reason: str
    accepted: tuple[str, ...] = ()
    approved_by: str | None = None
    rehearsal: Blessing | None = None


def _move(bench: ReleaseBench, release: str, seen: Standing, history: Sequence[Promotion], why: _Why) -> Promotion:
    moved = bench.releases.move_pointer(
        bench.assistant,
        release,
        expected=seen.release,
        kind="promote",
        evaluation=why.evaluation,
        unproven=why.unproven,
        who=why.who,
        reason=why.reason,
        newest=history[-1].seq if history else 0,
        overridden=why.accepted,
        approved_by=why.approved_by,
        rehearsal=why.rehearsal,
    )
    if moved is None:
        raise StaleComparison(
            f"Another promotion or rollback, or a vacuum, happened while {release} was being promoted in the place of "
            f"{seen.release or 'nothing'}. Look at `ratchet status`, and evaluate it again if it is still wanted.",
            release=release,
        )
    return moved


def roll_back(bench: ReleaseBench, *, to: str | None, who: str, reason: str) -> Promotion:
    """Makes an earlier release current again. Opens no model and no file of the release it leaves."""
    history, standing = _seen(bench)
    target = rollback_target(history, to)
    row = bench.releases.release(bench.assistant, target.release)
    if row.id == standing.release:
        raise NotFound(f"Release {row.id} is already being served.", release=row.id)
    check_snapshot(bench, row.manifest)
    moved = bench.releases.move_pointer(
        bench.assistant,
        row.id,
        expected=standing.release,
        kind="rollback",
        evaluation=target.evaluation,
        unproven=target.unproven,
        who=who,
        reason=reason,
        newest=history[-1].seq,
    )
    if moved is None:
        raise StaleComparison("Another promotion happened at the same moment; look at `ratchet status` and try again.")
    return moved


def states(
    rows: Sequence[ReleaseRow],
    standing: Standing,
    history: Sequence[Promotion],
    reclaimed: Collection[int] = (),
) -> dict[str, str]:
    """One word per release: current, reclaimed, retired, rolled-back or candidate.

    reclaimed: snapshots that vacuum deleted.
    """
    served = {p.release for p in history}
    left = {p.previous for p in history if p.kind == "rollback"}
    words: dict[str, str] = {}
    for row in rows:
        if row.id == standing.release:
            words[row.id] = "current"
        elif row.manifest.snapshot.number in reclaimed:
            words[row.id] = "reclaimed"
        elif row.id in left:
            words[row.id] = "rolled-back"
        else:
            words[row.id] = "retired" if row.id in served else "candidate"
    return words


def candidate(rows: Sequence[ReleaseRow], history: Sequence[Promotion]) -> ReleaseRow | None:
    """The newest release (rows: newest first), if it never was served."""
    newest = next(iter(rows), None)
    served = {promotion.release for promotion in history}
    return newest if newest is not None and newest.id not in served else None
