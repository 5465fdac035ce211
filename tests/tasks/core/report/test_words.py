import pytest

from tasks.core.gate import Gate
from tasks.core.report.words import bound, measured


@pytest.mark.parametrize(
    ("gate", "shown"),
    [
        (Gate("floor-recall", "pass", "", 0.953, 0.907), ("95.3 %", "90.7 %")),
        (Gate("no-harm-recall", "fail", "", -0.25, -0.113), ("-25.0", "-11.3")),
        (Gate("slice-hr", "pass", "not found worse (p = 0.4000 among 3 slices).", -0.02, 0.4), ("-2.0", "p 0.400")),
        (Gate("slice-hr", "pass", "losing 15.0 is too much.", -0.02, -0.1), ("-2.0", "-10.0")),
        (Gate("fresh", "undecided", "", 0.4, 0.25), ("+40.0", "p 0.250")),
        (Gate("faster", "pass", "", 0.3, 0.016), ("30.0 %", "p 0.016")),
        (Gate("cheaper", "pass", "", 0.3, 0.21), ("30.0 %", "21.0 %")),
        (Gate("pace", "pass", "", 1.234, 2.0), ("1.23 ×", "2 ×")),
        (Gate("pace-p95", "pass", "", 1.234, 3.0), ("1.23 s", "3 s")),
        (Gate("served-as-judged", "pass", "", 0.833333, 0.75), ("83.3 %", "75.0 %")),
        (Gate("intact", "pass", ""), ("", "")),
    ],
    ids=lambda value: value.name if isinstance(value, Gate) else "",
)
def test_a_gate_says_its_value_and_its_bound_in_its_own_unit(gate: Gate, shown: tuple[str, str]) -> None:
    assert (measured(gate, gate.value), bound(gate)) == shown
