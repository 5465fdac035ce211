"""`ratchet deploy`: the reconciler on the Prefect server that this environment names."""

from __future__ import annotations

from pathlib import Path

from flows.terminal import Shown
from infra.settings import load_settings
from tasks.core.errors import BadSetting


async def show_deploy(*, dry_run: bool, file: Path | None) -> Shown:
    """What was changed, or would be. Raises BadSetting without an API, or when the file is wrong.

    PrefectUnavailable where the server does not answer.
    """
    from httpx import HTTPError
    from prefect import get_client
    from prefect.settings import get_current_settings

    from flows.deploying.reconcile import reconcile
    from flows.reaching import reaching, without_password

    settings = load_settings()
    url = get_current_settings().api.url
    if not url:
        raise BadSetting(
            "There is no Prefect server to deploy to. Start one (prefect server start) and set PREFECT_API_URL, such as"
            " http://127.0.0.1:4200/api."
        )
    where = without_password(url)
    try:
        with reaching(url):
            async with get_client() as client:
                changes = await reconcile(
                    client, dry_run=dry_run, file=file, pools=settings.work_pools, run_command=settings.run_command
                )
    except HTTPError as error:
        raise BadSetting(
            f"The Prefect server at {where} did not do it: {error!r:.300}. What was done stays; run it again."
        ) from error
    head = "would change " if dry_run else ""
    return Shown(changes.as_json() | {"dry_run": dry_run, "api": where}, f"{head}{where}\n{changes.text()}")
