"""Pushes as GitHub (and Gitea, Forgejo) and GitLab tell them: which files may have changed, or that nobody can say.

The lists of files are believed only where they are certainly whole. Otherwise everything may have changed: a push that
was forced drops commits that no list names, and long lists are cut (GitLab: at 20 commits).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, Field, StrictInt, StrictStr

from infra.webhooks.delivery import PONG, Delivery, Hook, delivery_id, digest, read_as, require_recent, usable_id
from tasks.core.source_changes import Pushed
from tasks.core.webhook_signatures import PREFIX, body_signed, token_shown, verified

WHOLE_BELOW_COMMITS = 20
WHOLE_BELOW_FILES = 300  # of one commit
GITHUB_SETTING, GITLAB_SETTING = "RATCHET_WEBHOOK_SECRETS__GITHUB", "RATCHET_WEBHOOK_SECRETS__GITLAB"

_Commit40 = Annotated[StrictStr, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
_Ref = Annotated[StrictStr, Field(min_length=1, max_length=1024)]


class _Commit(BaseModel):
    id: StrictStr
    added: list[StrictStr] | None = None
    modified: list[StrictStr] | None = None
    removed: list[StrictStr] | None = None

    def files(self) -> frozenset[str] | None:
        """Every file the commit touches; None when that is not certain."""
        if self.added is None or self.modified is None or self.removed is None:
            return None
        files = frozenset((*self.added, *self.modified, *self.removed))
        return files if len(files) < WHOLE_BELOW_FILES else None


class _Repository(BaseModel):
    clone_url: StrictStr | None = None
    ssh_url: StrictStr | None = None
    git_url: StrictStr | None = None
    html_url: StrictStr | None = None
    default_branch: StrictStr | None = None
    pushed_at: StrictInt | StrictStr | None = None


class _GithubPush(BaseModel):
    ref: _Ref
    before: _Commit40
    after: _Commit40
    created: bool | None = None
    deleted: bool | None = None
    forced: bool | None = None
    commits: list[_Commit] = []
    repository: _Repository


class _Project(BaseModel):
    git_http_url: StrictStr | None = None
    git_ssh_url: StrictStr | None = None
    web_url: StrictStr | None = None
    default_branch: StrictStr | None = None


class _GitlabPush(BaseModel):
    object_kind: StrictStr
    ref: _Ref
    before: _Commit40
    after: _Commit40
    ref_protected: bool | None = None
    commits: list[_Commit] = []
    total_commits_count: int | None = None
    project: _Project


class _Kind(BaseModel):
    object_kind: StrictStr = ""
    event_name: StrictStr = ""


def read_github(hook: Hook, secrets: Sequence[str], now: float, memory_seconds: float) -> Delivery:
    """The push. Raises NotAllowed for what is not signed, and Refused for what cannot be read.

    The delivery's id is not under the signature, so a push is remembered by its body too, which says when it was.
    """
    body_signed(secrets, hook.headers.get("x-hub-signature-256"), hook.body, GITHUB_SETTING)
    event = hook.headers.get("x-github-event", "")
    if event != "push":
        return PONG if event == "ping" else Delivery(said=f"{event[:40] or 'no event'} is not about documents")
    named = delivery_id(hook, "x-github-delivery") or digest(hook.body)
    push, marks = read_as(_GithubPush, hook.body), (f"id:{named}", f"body:{digest(hook.body)}")
    at = push.repository.pushed_at
    if isinstance(at, int):
        require_recent(at, now, memory_seconds)
    told = push.repository
    ordinary = push.created is False and push.deleted is False and push.forced is False
    change = Pushed(
        repositories=frozenset(filter(None, (told.clone_url, told.ssh_url, told.git_url, told.html_url))),
        ref=push.ref,
        default_branch=told.default_branch or "",
        commit=push.after,
        paths=_files(push.commits, push.after) if ordinary else None,
        identity=f"{push.ref} {push.before} {push.after} {at if isinstance(at, int) else named}",
    )
    return Delivery(marks, (change,))


def read_gitlab(hook: Hook, secrets: Sequence[str], now: float) -> Delivery:
    """The push. Raises NotAllowed for what is not signed or shows no secret, and Refused for what cannot be read.

    What comes signed must be signed rightly; the token alone is for GitLab before 19.0. GitLab does not say whether a
    push was forced, so its lists are believed for protected branches only, where none can be.
    """
    if "webhook-signature" in hook.headers:
        named = usable_id(verified(secrets, hook.headers, hook.body, now, setting=GITLAB_SETTING), "webhook-id")
    else:
        plain = [one for one in secrets if not one.startswith(PREFIX)]
        token_shown(plain, hook.headers.get("x-gitlab-token"), "X-Gitlab-Token", GITLAB_SETTING)
        named = delivery_id(hook, "idempotency-key", "x-gitlab-event-uuid") or digest(hook.body)
    kind = read_as(_Kind, hook.body)
    if (kind.object_kind or kind.event_name) not in ("push", "tag_push"):
        return Delivery(said=f"{(kind.object_kind or kind.event_name)[:40] or 'no event'} is not about documents")
    push = read_as(_GitlabPush, hook.body)
    counted = push.total_commits_count == len(push.commits)
    ordinary = push.ref_protected is True and counted and not {push.before, push.after} & {"0" * 40, "0" * 64}
    told = push.project
    change = Pushed(
        repositories=frozenset(filter(None, (told.git_http_url, told.git_ssh_url, told.web_url))),
        ref=push.ref,
        default_branch=told.default_branch or "",
        commit=push.after,
        paths=_files(push.commits, push.after) if ordinary else None,
        identity=f"{push.ref} {push.before} {push.after} {named}",
    )
    return Delivery((f"id:{named}",), (change,))


def _files(commits: Sequence[_Commit], after: str) -> frozenset[str] | None:
    """Every file of the push; None when a list may be cut, is empty, or does not reach the commit that was pushed."""
    if not 0 < len(commits) < WHOLE_BELOW_COMMITS or after not in {commit.id for commit in commits}:
        return None
    found: set[str] = set()
    for commit in commits:
        files = commit.files()
        if files is None:
            return None
        found |= files
    return frozenset(found)
