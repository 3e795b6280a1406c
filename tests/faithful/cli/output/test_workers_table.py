"""What workers do, as a table and as words."""

from typing import Any

from rich.console import Console

from faithful.cli.output.workers_table import workers_line, workers_table

WORKERS: list[dict[str, Any]] = [
    {"worker": 0, "node": "a", "state": "drawing", "rate": 1234.0},
    {"worker": 1, "node": "b", "state": "drawing", "rate": 10.0},
    {"worker": 2, "node": "", "state": "waiting for a node", "rate": 0.0},
]


def test_a_row_says_what_a_worker_does() -> None:
    console = Console(width=80, record=True)
    console.print(workers_table(WORKERS))
    lines = console.export_text().splitlines()
    assert lines[0].split() == ["worker", "node", "state", "tokens/s"]
    assert lines[1].split()[:3] == ["0", "a", "drawing"]
    assert lines[3].split() == ["2", "waiting", "for", "a", "node"]


def test_words_count_states_and_nodes() -> None:
    assert workers_line(WORKERS) == "2 drawing, 1 waiting for a node on 2 nodes"
    assert workers_line(WORKERS[1:]) == "1 drawing, 1 waiting for a node"
    assert workers_line(WORKERS[:1]) == ""
