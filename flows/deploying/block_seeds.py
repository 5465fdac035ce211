"""A working local set of blocks, so that nobody starts from an empty page. Made once; what people edit stays."""

from __future__ import annotations

from prefect.blocks.core import Block
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound

from blocks import RatchetAssistant, RatchetGatePolicy
from infra.deploy.differences import Change, Found, Thing

SEEDS: dict[str, Block] = {"default": RatchetAssistant(), "standard": RatchetGatePolicy()}


class BlockSeeds:
    """Shelf of the seeds. One that is there, edited or not, is left alone."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client

    async def wanted(self) -> list[Thing]:
        return [Thing("block", f"{block.get_block_type_slug()}/{name}") for name, block in SEEDS.items()]

    async def found(self) -> list[Found]:
        there = []
        for thing in await self.wanted():
            slug, _, name = thing.name.partition("/")
            try:
                known = await self._client.read_block_document_by_name(name, slug, include_secrets=False)
            except ObjectNotFound:
                continue
            there.append(Found(thing, str(known.id), ours=False))
        return there

    async def make(self, change: Change) -> None:
        name = change.thing.name.partition("/")[2]
        await SEEDS[name].model_copy().save(name, client=self._client)
