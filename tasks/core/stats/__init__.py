"""How sure a mean or a difference is: paired, by page, deterministic by seed, careful when little was seen.

| what is decided | by |
|---|---|
| a metric against a margin, a floor or zero | the widest of three bounds, at every number of questions (`bounds.py`) |
| harm to a slice | the largest of three p-values, corrected by Holm (`p_values.py`) |
| answers that changed with documents; pace | the exact sign test (`p_values.py`) |
| how many questions would decide | what those bounds need, at a power of 80 % (`power.py`) |
"""

from tasks.core.stats.draws import Resampling
from tasks.core.stats.estimates import Estimate, estimate_difference, estimate_share
from tasks.core.stats.p_values import holm, p_worse, sign_test, wilson_lower
from tasks.core.stats.pages import clusters_of
from tasks.core.stats.power import least_questions, questions_needed

__all__ = [
    "Estimate",
    "Resampling",
    "clusters_of",
    "estimate_difference",
    "estimate_share",
    "holm",
    "least_questions",
    "p_worse",
    "questions_needed",
    "sign_test",
    "wilson_lower",
]
