"""How many tokens a vendor's model makes of a text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tasks.core.errors import BadSetting
from tasks.core.hosted_files import TokenCount


def token_count(tokenizer: Path | None) -> TokenCount:
    """Exact with a `tokenizer.json`; without one, an upper bound. Raises BadSetting for a file that is none."""
    return TokenCount() if tokenizer is None else TokenCount(counter(tokenizer), exact=True)


def counter(tokenizer: Path) -> Callable[[str], int]:
    """Tokens of a text, without those a template puts around it. Raises BadSetting."""
    from tokenizers import Tokenizer

    try:
        loaded = Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # the library raises nothing more particular
        raise BadSetting(f"{tokenizer} cannot be read as a `tokenizer.json`: {error}.") from error
    loaded.no_padding()
    loaded.no_truncation()
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)
