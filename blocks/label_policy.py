"""When labels start a training and which are reserved, as people edit it in the Prefect UI."""

from __future__ import annotations

from typing import ClassVar

from blocks.chosen import SettingsBlock, as_in_settings


class RatchetLabelPolicy(SettingsBlock):
    """Where labels come from, when they start a training, and which are reserved for judging."""

    _block_type_name = "Ratchet label policy"
    _block_type_slug = "ratchet-label-policy"
    _description = "Where labels come from, when they start a training, and which are reserved for judging."
    _code_example = """```python
from blocks import RatchetLabelPolicy

await RatchetLabelPolicy(places=["s3://labels/reviewed/"], threshold=200).save("reviewed")
```"""
    _sets: ClassVar[dict[str, str]] = {
        "places": "label_sources",
        "threshold": "retrain_threshold",
        "max_age_days": "retrain_max_age_days",
        "min_interval_hours": "retrain_min_interval_hours",
    }

    places: list[str] | None = as_in_settings("label_sources", "Places")
    threshold: int | None = as_in_settings("retrain_threshold", "Threshold")
    max_age_days: float | None = as_in_settings("retrain_max_age_days", "Oldest label, in days")
    min_interval_hours: float | None = as_in_settings("retrain_min_interval_hours", "Least time between, in hours")
    max_share_per_contributor: float | None = as_in_settings("max_share_per_contributor", "Share per contributor")
    golden_fraction: float | None = as_in_settings("golden_fraction", "Golden fraction")
    validation_fraction: float | None = as_in_settings("validation_fraction", "Validation fraction")
