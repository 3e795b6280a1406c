"""What somebody may have meant by a name that is none of those known."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any


def did_you_mean(name: str, known: Iterable[str], shown: Mapping[str, Any] | None = None) -> str:
    """` Did you mean gpt2?`, with the blank before it; empty where nothing known is near.

    Args:
        name: what was typed; capitals, blanks, hyphens and underscores make no difference.
        known: the names there are.
        shown: what to show for a known name, by default the name.
    """
    names = {_plain(one): one for one in known}
    near = get_close_matches(_plain(name), names, n=1, cutoff=0.7)
    return f" Did you mean {(shown or {}).get(names[near[0]], names[near[0]])}?" if near else ""


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(" ", "-")
