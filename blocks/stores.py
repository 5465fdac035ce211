"""Where state lies, as people edit it in the Prefect UI."""

from __future__ import annotations

from pydantic import SecretStr

from blocks.chosen import SettingsBlock, as_in_settings


class RatchetStores(SettingsBlock):
    """The catalog's database, where artifacts and models lie, and the S3-compatible store that is spoken to."""

    _block_type_name = "Ratchet stores"
    _block_type_slug = "ratchet-stores"
    _description = (
        "Where state lies: the catalog's database, the folder or bucket of artifacts, an S3-compatible store."
    )
    _code_example = """```python
from blocks import RatchetStores

await RatchetStores(home="/srv/ratchet", database_url="postgresql+psycopg://ratchet:...@db/ratchet").save("production")
```"""

    home: str | None = as_in_settings("home", "Folder")
    database_url: SecretStr | None = as_in_settings("database_url", "Catalog")
    artifacts_uri: str | None = as_in_settings("artifacts_uri", "Artifacts")
    s3_endpoint_url: str | None = as_in_settings("s3_endpoint_url", "S3 endpoint")
