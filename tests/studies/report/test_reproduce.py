"""How to make it again."""

import json
from pathlib import Path

from studies.report.found import StudyFound, read_run
from studies.report.reproduce import sizes_table, study_command
from tests.studies.report.runs_made import (
    seeds_summary,
    write_run,
    write_study,
)


def test_a_study_s_command_states_all_that_it_was_told(tmp_path: Path) -> None:
    write_study(tmp_path, "seeds", seeds_summary())
    folder = tmp_path / "studies" / "seeds"
    study = StudyFound("seeds", folder, {})
    assert study_command(study, "demo") == "faithful study seeds --run demo"
    told = {
        "saes": ["/home/me/runs/demo/saes"], "out": "/home/me/runs/demo/studies/seeds", "own": None, "examples": 5,
        "corpora": ["/home/me/runs/demo/corpora/own", "/home/me/my prose"], "model": "tiny", "tokens": 8000, "context": 64,
        "seed": 3, "device": None, "gaussian_steps": 150,
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(told))
    assert study_command(study, "demo") == (
        "faithful study seeds --corpus runs/demo/corpora/own --corpus 'my prose' --model tiny --tokens 8000"
        " --set context=64 --seed 3 --set gaussian_steps=150 --run demo"
    )
    (folder / "settings.json").write_text(json.dumps({"saes": ["USER/REPO", "runs/demo/saes/own"]}))
    assert study_command(study, "demo") == "faithful study seeds USER/REPO runs/demo/saes/own --run demo"


def test_lists_and_the_study_of_corpora_have_options_of_their_own(tmp_path: Path) -> None:
    for name in ("probes", "corpora"):
        write_study(tmp_path, name, {})
    probes, corpora = (StudyFound(name, tmp_path / "studies" / name, {}) for name in ("probes", "corpora"))
    (probes.folder / "settings.json").write_text(json.dumps({"ks": [1, 10], "tasks": ["sst2", "a b.csv:text:label"]}))
    assert study_command(probes, "demo") == (
        "faithful study probes --task 'sst2,a b.csv:text:label' --set ks=1,10 --run demo"
    )
    told = {
        "folders": ["runs/demo/corpora/own"],
        "own": "runs/demo/corpora/own",
        "top_ps": [0.9, 1.0],
        "budget": 100000,
    }
    (corpora.folder / "settings.json").write_text(json.dumps(told))
    assert study_command(corpora, "demo") == (
        "faithful study corpora runs/demo/corpora/own --own runs/demo/corpora/own --budget 100000 --top-ps 0.9,1 --run demo"
    )


def test_what_a_study_was_told_stands_beside_what_it_is_otherwise(tmp_path: Path) -> None:
    run = write_run(tmp_path / "small")
    told = {"tokens": 8000, "gaussian_steps": 150, "gaussian_seeds": 2, "seed": 3, "out": "/home/me"}
    (run / "studies" / "seeds" / "settings.json").write_text(json.dumps(told))
    stated = [row[1:] for row in sizes_table(read_run(run)).rows if row[1].startswith("stated")]
    assert stated == [
        ("stated: tokens", "8,000", "30,000 on a CPU, 200,000 on a GPU"), ("stated: gaussian steps", "150", "–"),
    ]  # fmt: skip
