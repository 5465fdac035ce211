"""Where a Weaviate server is, as people edit it in the Prefect UI."""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field, SecretStr


class RatchetWeaviate(Block):
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

    url: str = Field(description="Address, such as http://127.0.0.1:8080")
    grpc_port: int = Field(default=50051, ge=1, le=65535, description="gRPC port on the same host")
    api_key: SecretStr | None = Field(default=None, description="API key; none: anonymous access")
