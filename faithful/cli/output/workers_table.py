"""What workers on one machine or several are doing, beside the bar of their work."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from faithful.base.quantities import format_count
from faithful.base.terminal import plain


def workers_table(workers: Sequence[Mapping[str, Any]]) -> Any:
    """A rich table, a row per worker."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None)
    for name in ("worker", "node", "state", "tokens/s"):
        table.add_column(name, justify="right" if name == "tokens/s" else "left")
    for one in workers:
        rate = format_count(one["rate"]) if one["rate"] else ""
        table.add_row(*(Text(plain(cell)) for cell in (str(one["worker"]), one["node"], one["state"], rate)))
    return table


def workers_line(workers: Sequence[Mapping[str, Any]]) -> str:
    """The same as a few words: `3 drawing, 1 starting on 2 nodes`; "" for one worker, of which there is nothing to say."""
    if len(workers) < 2:
        return ""
    states = ", ".join(f"{count} {state}" for state, count in Counter(one["state"] for one in workers).most_common())
    nodes = len({one["node"] for one in workers} - {""})
    return states + (f" on {nodes} nodes" if nodes > 1 else "")
