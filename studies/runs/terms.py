"""Terms that somebody must accept before text is passed on: of what is published, and of what is only quoted."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from faithful.hub.licences import licence_paragraph
from faithful.hub.plan import Condition
from faithful.store.corpora_of_saes import trained_corpora
from faithful.store.corpus import MANIFEST, Corpus
from faithful.store.places import corpora_of, studies_of

if TYPE_CHECKING:
    from generation.cards.origins import Origin
    from studies.common.results import Summary

PERMISSIVE = ("mit", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "unlicense", "cc0-1.0")
REPORT = "report.html"
RANDOM_TOKENS = "random tokens"
GONE = "The corpus is no longer here, so nothing is known of its text: look at the terms of its source before you publish it."


def conditions_of(corpus: Corpus) -> tuple[Condition, ...]:
    """Terms of every text in a corpus that forbid passing its tokens on, or set a condition, or are not known."""
    from generation.cards.origins import MODEL, RANDOM, origins

    found = []
    for origin in origins(corpus.manifest):
        is_free = origin.kind == RANDOM or (origin.kind == MODEL and (origin.licence or "").lower() in PERMISSIVE)
        if not is_free:
            terms = " ".join(terms_of(corpus, origin).split())
            found.append(Condition(corpus.name, origin.name, origin.licence, terms))
    return tuple(found)


def terms_of(corpus: Corpus, origin: "Origin") -> str:
    """What passing texts of an origin on asks; for samples of a model, what is known of its licence's word on outputs."""
    from generation.cards.origins import MODEL

    model = corpus.manifest.provenance.get("model", {})
    if origin.kind != MODEL:
        return origin.terms
    return licence_paragraph({"licence": origin.licence, "name": origin.name, "family": model.get("family", "")})


def conditions_of_quotes(
    run: Path, published: Collection[Path], trained: Collection[str] = ()
) -> tuple[Condition, ...]:
    """Terms of what a run's report and studies quote, wherever the corpora lie that it is from.

    A study shows examples from the corpora of its panel, the report all these and samples of every corpus of the run. A
    corpus that is no longer found is taken for one of other people's text whose licence is not known.

    Args:
        run: the run.
        published: folders of corpora whose terms are asked for elsewhere.
        trained: names of the corpora that its SAEs were trained on.

    Raises:
        FaithfulError: a file of a study that cannot be read.
    """
    places = [(path.resolve().name, path.resolve()) for path in _places(run)]
    there = {name for name, path in places if (path / MANIFEST).is_file()}
    known = {path.resolve() for path in published}
    found = []
    for name, files in _quotes(run, there, trained).items():
        words = f"Passages of it are quoted in {' and '.join(files)}."
        folders = dict.fromkeys(path for other, path in places if other == name and (path / MANIFEST).is_file())
        conditions = [one for path in folders if path not in known for one in conditions_of(Corpus(path))]
        if not folders:
            conditions = [Condition(name, name, None, GONE)]
        found += [replace(one, terms=f"{words} {one.terms}") for one in conditions]
    return tuple(found)


def _quotes(run: Path, there: Collection[str], trained: Collection[str]) -> dict[str, list[str]]:
    """Files that quote a corpus, by its name."""
    from studies.catalog import STUDIES
    from studies.common.results import read_summary

    found: dict[str, list[str]] = {}
    report = [REPORT] if (run / REPORT).is_file() else []
    told = {path.name for path in corpora_of(run)} | ({*trained, *trained_corpora(run / "saes")} - set(there))
    for path in (study / "summary.json" for study in studies_of(run)):
        summary = read_summary(path)
        study = STUDIES.get(summary.get("study", ""))
        if study and not study.of_saes:
            told |= set(summary.get("corpora") or ()) - set(there)
        for name in sorted(set(_shown(summary))):
            found.setdefault(name, list(report)).append(path.relative_to(run).as_posix())
    if report:
        for name in sorted(told):
            found.setdefault(name, report)
    return found


def _shown(summary: "Summary") -> Iterator[str]:
    """Corpora that a study's examples are from (see `studies.common.examples`)."""
    for block in summary.get("examples") or ():
        for row in block.get("rows") or ():
            names = row.get("corpus"), row.get("partner_text")
            yield from (name for name in names if name and name != RANDOM_TOKENS)


def _places(run: Path) -> Iterator[Path]:
    """Where corpora of a run may lie: in it, where its SAEs were trained from, and where its studies were told to look."""
    from studies.common.study import read_settings

    yield from corpora_of(run)
    yield from trained_corpora(run / "saes").values()
    for path in sorted((run / "studies").glob("*/settings.json")):
        settings = read_settings(path)
        for name in ("corpora", "folders"):
            yield from map(Path, settings.get(name) or ())
