"""One step, two ways to run it."""

import pytest
from prefect import flow

from flows import running
from flows.running import perform
from tasks.core.errors import CannotRetry, IndexUnavailable


class Flaky:
    """A step that fails a few times before it works."""

    __name__ = "flaky_step"

    def __init__(self, failures: int, error: Exception) -> None:
        self.calls, self._failures, self._error = 0, failures, error

    def __call__(self, value: int) -> int:
        """Returns what it is given."""
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error
        return value


async def test_outside_a_flow_run_a_step_is_a_plain_call() -> None:
    step = Flaky(1, IndexUnavailable("down"))
    with pytest.raises(IndexUnavailable):
        await perform(step, 7)
    assert await perform(step, 7) == 7
    assert step.calls == 2


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.xdist_group("prefect")
@pytest.mark.parametrize(("error", "calls"), [(IndexUnavailable("down"), 3), (CannotRetry("wrong"), 1)])
async def test_inside_a_flow_run_only_what_may_pass_is_tried_again(
    error: Exception, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "RETRY_DELAYS_SECONDS", [0.0, 0.0])
    step = Flaky(9, error)

    @flow
    async def some_flow() -> int:
        return await perform(step, 7)

    with pytest.raises(type(error)):
        await some_flow()
    assert step.calls == calls
