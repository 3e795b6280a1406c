"""Each text once, however rows are skipped."""

import json
from pathlib import Path

from generation.files.text_files import TextFiles
from generation.sources.distinct import Distinct


def test_the_first_row_of_a_text_stays_and_skipping_counts_those(tmp_path: Path) -> None:
    texts = ["a", "b", "a", "c", "b", "d"]
    for name in ("one.jsonl", "two.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps({"text": t, "n": n}) + "\n" for n, t in enumerate(texts)))
    paths = sorted(tmp_path.iterdir())
    reader = Distinct(TextFiles("json", paths, [path.name for path in paths]), ("text",))
    assert [row["n"] for row in reader.rows(0)] == [0, 1, 3, 5]
    assert [[row["n"] for row in reader.rows(1, skip)] for skip in range(5)] == [
        [0, 1, 3, 5],
        [1, 3, 5],
        [3, 5],
        [5],
        [],
    ]
    chosen = reader.select(("text", "n"))
    assert [row["n"] for part in chosen.parts() for row in part.rows(1)] == [1, 3, 5] * 2
    assert chosen.columns() == ["text", "n"] and chosen.division("document") is None
