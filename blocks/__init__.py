"""Named configuration and secrets that people edit in the Prefect UI; a block opens infra adapters."""

from infra.offline import silence_telemetry

silence_telemetry()

from blocks.assistant import RatchetAssistant  # noqa: E402  (Prefect reads the environment when it is imported)
from blocks.chat_model import RatchetChatModel  # noqa: E402
from blocks.embedder import RatchetEmbedder  # noqa: E402
from blocks.gate_policy import RatchetGatePolicy  # noqa: E402
from blocks.label_policy import RatchetLabelPolicy  # noqa: E402
from blocks.sources import RatchetSources  # noqa: E402
from blocks.stores import RatchetStores  # noqa: E402
from blocks.trainers import RatchetHostedTrainer, RatchetLoraTrainer  # noqa: E402
from blocks.weaviate import RatchetWeaviate  # noqa: E402

__all__ = [
    "RatchetAssistant",
    "RatchetChatModel",
    "RatchetEmbedder",
    "RatchetGatePolicy",
    "RatchetHostedTrainer",
    "RatchetLabelPolicy",
    "RatchetLoraTrainer",
    "RatchetSources",
    "RatchetStores",
    "RatchetWeaviate",
]
