"""Where an assistant's documents come from, as people edit it in the Prefect UI."""

from __future__ import annotations

from pydantic import Field

from blocks.chosen import SettingsBlock
from infra.settings import DocumentSource


class RatchetSources(SettingsBlock):
    """Every place an assistant's documents come from. A run that names no path reads all of them."""

    _block_type_name = "Ratchet sources"
    _block_type_slug = "ratchet-sources"
    _description = "Where an assistant's documents come from: folders, S3 prefixes, git repositories."
    _code_example = """```python
from blocks import RatchetSources

handbook = {"path": "git+https://example.org/handbook.git@main", "include": ["docs/**"]}
await RatchetSources(sources=[handbook]).save("docs")
```"""

    sources: list[DocumentSource] = Field(
        default_factory=list,
        title="Sources",
        description="Read by every run that names no path; registered by the first one",
    )
