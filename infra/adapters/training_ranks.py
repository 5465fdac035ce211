"""The processes of one training: which of them this one is, and what all of them agree on."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tasks.core.errors import BadSetting

_SIZES = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")  # what accelerate looks at


def require_alone(environment: Mapping[str, str] = os.environ) -> None:
    """Raises BadSetting where a launcher started several of this process: each would train the whole by itself."""
    for name in _SIZES:
        if environment.get(name, "1").strip() not in ("", "0", "1"):
            raise BadSetting(
                f"{name}={environment[name]} says that a launcher such as torchrun started several of this process, "
                f"and Ratchet starts the processes of a training itself. Run it without the launcher, or unset {name}.",
                variable=name,
            )
