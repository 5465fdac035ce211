"""Where a Weaviate server is, as people edit it in the Prefect UI."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, SecretStr

from blocks.chosen import SettingsBlock


class RatchetWeaviate(SettingsBlock):
    """A Weaviate server that holds the vector indexes of assistants."""

    _block_type_name = "Ratchet Weaviate"
    _block_type_slug = "ratchet-weaviate"
    _description = "A Weaviate server that holds the vector indexes of assistants."
    _code_example = """```python
from blocks import RatchetAssistant, RatchetWeaviate

server = RatchetWeaviate(url="https://weaviate.example.org", grpc_port=50051, api_key="...")
await server.save("production")
await RatchetAssistant(assistant="handbook", weaviate=server).save("handbook")
```"""
    _sets: ClassVar[dict[str, str]] = {
        "url": "weaviate_url",
        "grpc_port": "weaviate_grpc_port",
        "api_key": "weaviate_api_key",
    }

    url: str = Field(title="Address", description="Address, such as http://127.0.0.1:8080")
    grpc_port: int = Field(default=50051, ge=1, le=65535, title="gRPC port", description="gRPC port on the same host")
    api_key: SecretStr | None = Field(default=None, title="API key", description="API key; none: anonymous access")
