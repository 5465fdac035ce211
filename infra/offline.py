"""Telemetry of every dependency off, before Prefect, unstructured or transformers are imported."""

from __future__ import annotations

import os

QUIET = {
    "DO_NOT_TRACK": "1",
    "SCARF_NO_ANALYTICS": "true",
    "UNSTRUCTURED_DISABLE_NOTICE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "TQDM_DISABLE": "1",
}


def silence_telemetry() -> None:
    """Sets what is not set yet: a value somebody chose is kept."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
