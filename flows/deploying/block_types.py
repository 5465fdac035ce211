"""The types of our blocks as this version has them, so that their forms in the UI are right after an upgrade."""

from __future__ import annotations

from prefect.blocks.core import Block
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound

import blocks
from infra.deploy.differences import Change, Found, Thing


def our_blocks() -> list[type[Block]]:
    """Every block that is exported; those that are nested come first."""
    return [getattr(blocks, name) for name in blocks.__all__]


class BlockTypes:
    """Shelf of the block types and their schemas. Old schemas stay: documents were saved with them."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client

    async def wanted(self) -> list[Thing]:
        return [_thing(one) for one in our_blocks()]

    async def found(self) -> list[Found]:
        there = []
        for block in our_blocks():
            try:
                known = await self._client.read_block_type_by_slug(block.get_block_type_slug())
            except ObjectNotFound:
                continue
            fields = {
                "description": known.description,
                "logo": str(known.logo_url) if known.logo_url else None,
                "example": known.code_example,
                "schema": await self._schema(block),
            }
            there.append(Found(Thing("block type", known.slug, fields), str(known.id), ours=False))
        return there

    async def make(self, change: Change) -> None:
        block = next(one for one in our_blocks() if one.get_block_type_slug() == change.thing.name)
        await block.aregister_type_and_schema(client=self._client)

    async def _schema(self, block: type[Block]) -> str | None:
        checksum: str = block._calculate_schema_checksum()
        try:
            await self._client.read_block_schema_by_checksum(checksum, block.get_block_schema_version())
        except ObjectNotFound:
            return None
        return checksum


def _thing(block: type[Block]) -> Thing:
    fields = {
        "description": block.get_description(),
        "logo": str(block._logo_url) if block._logo_url else None,
        "example": block.get_code_example(),
        "schema": block._calculate_schema_checksum(),
    }
    return Thing("block type", block.get_block_type_slug(), fields)
