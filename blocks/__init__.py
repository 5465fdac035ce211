"""Named configuration and secrets that people edit in the Prefect UI; a block opens infra adapters."""

from infra.offline import silence_telemetry

silence_telemetry()

from blocks.assistant import RatchetAssistant  # noqa: E402  (Prefect reads the environment when it is imported)
from blocks.gate_policy import RatchetGatePolicy  # noqa: E402
from blocks.weaviate import RatchetWeaviate  # noqa: E402

__all__ = ["RatchetAssistant", "RatchetGatePolicy", "RatchetWeaviate"]
