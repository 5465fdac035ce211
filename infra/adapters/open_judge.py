"""The judge that a policy names, with everything it needs, as what an evaluation calls."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tasks.core.errors import BadSetting

if TYPE_CHECKING:
    from pydantic import SecretStr
    from sqlalchemy import Engine

    from infra.settings import Settings
    from tasks.core.policy import JudgePolicy, Policy
    from tasks.core.ports import Progress
    from tasks.evaluation import Judge
    from tasks.judging import JudgeBench


def open_judge(
    settings: Settings,
    policy: Policy,
    engine: Engine,
    *,
    assistant: str,
    environ: Mapping[str, str] = os.environ,
    progress: Progress | None = None,
) -> Judge | None:
    """For `EvaluationBench.judge`; None where the policy has no judge. Asks nothing yet.

    Raises BadSetting without a key, or without a price, where the server is OpenAI's.
    """
    from tasks.judging import judge_answers

    rules = policy.judge
    if rules is None:
        return None
    _require_askable(settings, rules, environ)
    bench = judge_bench(settings, rules, engine, assistant=assistant, environ=environ)
    return lambda labels, answers, baseline_answers: judge_answers(
        bench, policy, labels, answers, baseline_answers, progress
    )


def judge_bench(
    settings: Settings,
    rules: JudgePolicy,
    engine: Engine,
    *,
    assistant: str,
    environ: Mapping[str, str] = os.environ,
) -> JudgeBench:
    """For tasks.judging. Needs neither key nor price to tell what was said before."""
    from infra.adapters.catalog.judgements import CatalogHumanJudgements, CatalogRulings
    from infra.adapters.openai_judge import OpenAiJudge, Prices
    from tasks.judging import JudgeBench

    judge = OpenAiJudge(
        rules.model,
        api_key=_key(settings, rules, environ),
        base_url=rules.base_url,
        prices=Prices(rules.usd_per_million_prompt_tokens, rules.usd_per_million_completion_tokens),
    )
    return JudgeBench(assistant, judge, CatalogRulings(engine), CatalogHumanJudgements(engine))


def _require_askable(settings: Settings, rules: JudgePolicy, environ: Mapping[str, str]) -> None:
    """Before minutes of answering, not after them."""
    if rules.base_url is not None:
        return
    if not (rules.usd_per_million_prompt_tokens and rules.usd_per_million_completion_tokens):
        raise BadSetting(
            f"The judge {rules.model} at OpenAI costs money, and the policy does not say how much, so that budget_usd "
            "would stop nothing. Set usd_per_million_prompt_tokens and usd_per_million_completion_tokens under "
            "[policy.judge]."
        )
    if _key(settings, rules, environ) is None:
        raise BadSetting(
            f"The judge {rules.model} at OpenAI needs an API key. Set RATCHET_JUDGE_API_KEY or OPENAI_API_KEY, or "
            "policy.judge.base_url for a server without one."
        )


def _key(settings: Settings, rules: JudgePolicy, environ: Mapping[str, str]) -> SecretStr | None:
    """The judge's own key, else the key of the same server. A key is shown to no server that it is not for."""
    from pydantic import SecretStr

    keys = [settings.judge_api_key]
    if rules.base_url == settings.openai_base_url:
        keys.append(settings.openai_api_key)
    if rules.base_url is None:
        keys.append(SecretStr(environ.get("OPENAI_API_KEY", "")))
    return next((key for key in keys if key and key.get_secret_value()), None)
