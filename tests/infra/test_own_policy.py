from pathlib import Path

import pytest

from infra.own_policy import own_policy_file, with_own_policy
from infra.settings import Settings
from infra.workbench import open_workbench
from tasks.core.errors import BadSetting
from tasks.core.policy import Policy


def written(home: Path, text: str | bytes, assistant: str = "handbook") -> Path:
    file = own_policy_file(home, assistant)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_an_assistant_without_one_keeps_what_is_in_force(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, policy=Policy(seed=7))
    assert with_own_policy(settings, "handbook") is settings


def test_its_own_policy_is_the_whole_policy_of_that_assistant_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, policy=Policy(seed=7))
    written(tmp_path, "[policy.margins]\nrecall = 0.2\n")
    assert with_own_policy(settings, "handbook").policy == Policy(margins={"recall": 0.2})
    assert with_own_policy(settings, "other").policy == Policy(seed=7)


def test_a_policy_that_is_there_and_cannot_be_read_is_never_replaced_by_another(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, policy=Policy(seed=7))
    own_policy_file(tmp_path, "folder").mkdir(parents=True)
    own_policy_file(tmp_path, "linked").symlink_to(tmp_path / "unmounted" / "policy.toml")
    for assistant in ("folder", "linked"):
        with pytest.raises(BadSetting, match=f"{assistant}.toml cannot be read"):
            with_own_policy(settings, assistant)


def test_a_workbench_opens_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATCHET_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "[policy]\nminimum_questions = 33\n")
    assert open_workbench("handbook").settings.policy.minimum_questions == 33
    assert open_workbench("other").settings.policy == Policy()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[policy]\nalpha = 2\n", r"policy\.alpha"),
        ("[policy]\nmargin = 0.1\n", r"policy\.margin: "),
        ("[policies]\n", r"policy: Field required; policies: .*It holds one table, \[policy\]"),
        ("[policy\n", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_by_its_path_and_field(tmp_path: Path, text: str | bytes, said: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(BadSetting, match=said) as refused:
        with_own_policy(Settings(home=tmp_path), "handbook")
    assert str(file) in str(refused.value)
