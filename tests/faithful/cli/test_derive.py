"""`faithful corpus mix`, `shuffle`, `dedup` and `subsample` as typed."""

import json
from pathlib import Path

from tests.faithful.cli.called import call, refused

ADD = ("corpus", "add", "noise", "--tokens", "2k", "--held-out", "500", "--context", "32", "--run", "small")


def test_the_corpora_of_the_run_are_taken_where_none_is_named() -> None:
    assert call(*ADD).exit_code == 0
    shown = call("corpus", "shuffle", "--run", "small")
    assert shown.exit_code == 0, shown.output
    assert "Corpus: runs/small/corpora/noise\n" in shown.stderr and "# Counts of the shuffle\n" in shown.stdout
    told = json.loads(call("corpus", "dedup", "--run", "small", "--json").stdout)
    assert Path(told["folder"]).parent == Path("runs/small/corpora") and told["changed"]
    assert told["counts"]["train"]["kept"] == told["documents"]["train"]
    assert told["identity"]["derivation"]["operation"] == "dedup"
    assert call(*ADD[:-1], "small", "--out", "runs/small/corpora/other", "--seed", "1").exit_code == 0
    assert "Name the corpus: the current run has not one, but these that are not derived: noise, other." in refused(
        "corpus", "subsample", "--tokens", "500", "--run", "small"
    )
    mixed = call("corpus", "mix", "--run", "small", "--json")
    assert "Corpora: runs/small/corpora/noise, runs/small/corpora/other\n" in mixed.stderr
    counts = json.loads(mixed.stdout)["counts"]["train"]
    nested = [name for name, value in counts.items() if isinstance(value, dict)]
    assert nested, "what each part gave"
    assert f"{nested[0].replace('_', ' ')} " in call("corpus", "mix", "--run", "small").stdout
