"""What to type next: the first thing that a run lacks, read from what lies in it."""

from pathlib import Path

from faithful.options.kinds import as_place
from faithful.options.line import command_line

PLACES = ("corpora", "saes", "studies")


def following(folder: Path, otherwise: str) -> str:
    """The command to type after something was written to `folder`.

    Args:
        folder: a corpus, a folder of SAEs or a study.
        otherwise: the command where the folder lies in no run.
    """
    from faithful.store.places import corpora_of

    # `runs/tiny/studies/corpora` is a study of `tiny`: what lies deeper is asked first
    homes = [one.parent for one in (folder.parent, folder) if one.name in PLACES and corpora_of(one.parent)]
    return next_step(homes[0]) if homes else otherwise


def next_step(run: Path) -> str:
    """The next command for a run: other text, SAEs for every corpus, each study, the report, its publication."""
    from faithful.hub.config import PublishConfig
    from faithful.store.places import corpora_of
    from faithful.training.config import TrainConfig
    from generation.configs.add import AddConfig
    from generation.configs.generate import GenerateConfig
    from studies.catalog import STUDIES
    from studies.report.config import ReportConfig

    kinds = {folder.name: _kind_and_model(folder / "corpus.json") for folder in corpora_of(run)}
    at = _option(run)
    if not kinds:
        return command_line(GenerateConfig, run=at)
    trained = {path.parents[2].name for path in (run / "saes").glob("*/*/seed-*/cfg.json")}
    kind, model = next(iter(kinds.values()))
    if len(kinds) == 1 and kind == "own" and not trained:
        source = {"name": "prose"} if model == "tiny" else {"name": "fineweb", "model": model}
        return command_line(AddConfig, **source, run=at)
    if not kinds.keys() <= trained:
        return command_line(TrainConfig, run=at)
    for study in STUDIES:
        if not (run / "studies" / study / "summary.json").exists():
            return command_line(STUDIES[study].config, run=at)
    page = run / "report.html"
    newest = max(path.stat().st_mtime for path in (run / "studies").glob("*/summary.json"))
    if not page.exists() or page.stat().st_mtime < newest:
        return command_line(ReportConfig, run=run)
    return command_line(PublishConfig, path=run, name="USER/REPO", dry_run=True)


def _option(run: Path) -> str | None:
    """What names a run that is not the current one."""
    from faithful.base.records import read_text
    from faithful.store.places import ROOT, run_folder

    marker = ROOT / "current"
    current = read_text(marker).strip() if marker.exists() else ""
    if current and run_folder(current).resolve() == run.resolve():
        return None
    return run.name if run.parent == ROOT else as_place(run)


def _kind_and_model(manifest: Path) -> tuple[str, str]:
    """Kind of a corpus and what its model is given by; empty for one that cannot be read, which no next step depends on."""
    from faithful.base.errors import FaithfulError
    from faithful.base.records import read_record

    try:
        values = read_record(manifest, dict)
        return str(values["kind"]), str(values["provenance"]["model"]["source"])
    except (FaithfulError, TypeError):
        return "", ""
