"""The parts of the report, as values that the HTML and the Markdown template lay out alike."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from faithful.store.saes import TrainedSae
from studies.catalog import KNOWN
from studies.common.results import Summary
from studies.common.study import Study
from studies.common.tables import Table
from studies.corpora.summary import CorporaSummary
from studies.report.answer import (
    NOTHING_COMPARED,
    OWN_NOT_COMPARED,
    Verdict,
    counted_studies,
    forest_lines,
    margins,
    subject,
    verdicts,
)
from studies.report.draft_figures import draft_source, reference_tables
from studies.report.examples import Card, cards_of
from studies.report.figures import draw_pit, draw_positions, draw_training, position_counts
from studies.report.forest import draw_forest
from studies.report.found import RunFound, StudyFound
from studies.report.readable import in_words, readable
from studies.report.words import DEGREES, DRAWN, OF_TRUTHS, TEXTS
from studies.statistics.headlines import FOREIGN
from studies.statistics.numbers import NONE, listed, p_of, plain, span
from studies.statistics.records import Contrast

CHECKS = (
    "contrast", "metric", "difference", "95 % interval", "± seeds", "± drawn", "df", "p", "Holm p", "sign-flip p (least)",
    "jackknife 95 %", "seeds", "verdict",
)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        title: its caption.
        path: of the SVG.
    """

    title: str
    path: Path


@dataclass(frozen=True)
class Fold:
    """Something that is closed until it is asked for.

    Attributes:
        title: what is inside.
        tables: those inside.
        note: what stands before them.
    """

    title: str
    tables: list[Table]
    note: str = ""


@dataclass(frozen=True)
class StudyPart:
    """A study.

    Attributes:
        name: of its folder.
        label: it in a few words, for the contents.
        question: what it answers.
        meaning: what its headline figure is, and what its figures are of that have no interval.
        verdicts: of its headline contrasts.
        undecided: why it has none, '' where it never has any.
        tables, folds, pictures: its figures; lead: the one that stands before the tables, if any.
        examples: titles and latents.
        draft: what is said of the author's draft figures among the tables, '' where there are none.
    """

    name: str
    label: str
    question: str
    meaning: str
    verdicts: list[Verdict]
    undecided: str
    tables: list[Table]
    folds: list[Fold]
    pictures: list[Picture]
    lead: list[Picture]
    examples: list[tuple[str, list[Card]]]
    draft: str


@dataclass(frozen=True)
class Samples:
    """Some texts of a corpus."""

    corpus: str
    texts: list[str]


def study_parts(run: RunFound) -> list[StudyPart]:
    """Every study of the run."""
    counted = counted_studies(run)
    return [_study(study, run.saes, study.name in counted) for study in run.studies.values()]


def _study(found: StudyFound, saes: Sequence[TrainedSae], is_counted: bool) -> StudyPart:
    known, summary = found.record, found.summary
    question, meaning = (known.question, known.meaning) if known else (found.of, "")
    found_tables = known.tables(summary) if known else [_metrics(f"Figures of {found.of}", summary["corpora"])]
    details = known.details if known else ()
    drafts = reference_tables(found.of, summary, _trained(saes))
    leads = known.lead if known else ""
    return StudyPart(
        name=found.name,
        label=_also_in(_label(found.of), found),
        question=_also_in(question, found),
        meaning=" ".join([meaning, *notes(found.of, summary)]).strip(),
        verdicts=verdicts(found.of, summary, is_counted),
        undecided=f"No headline contrast: {OWN_NOT_COMPARED if known.of_run else NOTHING_COMPARED}."
        if known and known.headline
        else "",
        tables=[*(readable(table) for table in found_tables if not table.title.startswith(details)), *drafts],
        folds=[
            *(_fold(table) for table in found_tables if table.title.startswith(details)),
            *_folds(summary, known),
        ],
        pictures=[Picture(_caption(known, path.stem), path) for path in found.figures if path.stem != leads],
        lead=[Picture(_caption(known, path.stem), path) for path in found.figures if path.stem == leads],
        examples=[(block["title"], cards_of(block["rows"])) for block in summary.get("examples") or ()],
        draft=draft_source() if drafts else "",
    )


def _label(study: str) -> str:
    """What a study compares, as an entry of the contents."""
    return subject(study)[:1].upper() + subject(study)[1:]


def _also_in(text: str, found: StudyFound) -> str:
    """The text, with the folder's name where that is not the study's."""
    return text if found.of == found.name else f"{text} ({found.name})"


def _caption(study: Study | None, stem: str) -> str:
    """Of a figure: its study's, else the words of its file's name."""
    said = study.captions.get(stem) if study else None
    return said or words(stem).capitalize()


def _trained(saes: Iterable[TrainedSae]) -> dict[str, list[dict[str, Any]]]:
    """How the SAEs of each shape were trained."""
    found: dict[str, list[dict[str, Any]]] = {}
    for sae in saes:
        steps = (sae.record.get("training") or {}).get("step")
        found.setdefault(sae.shape_folder, []).append(sae.identity | {"steps": steps})
    return found


def notes(name: str, summary: Summary) -> list[str]:
    """What a study's figures without an interval are of, and what is not compared."""
    known = KNOWN.get(name)
    found = known.notes(summary) if known else []
    if any(entry.get("text") for entry in summary.get("contrasts", ())):
        found.append(TEXTS)
        if not summary.get("texts", {}).get(FOREIGN):
            found.append(
                "The panel holds no foreign text, so that there is no headline on it: name a corpus with --corpus."
            )
    if any(entry.get("error_drawn") is not None for entry in summary.get("contrasts", ())):
        found.append(f"{DRAWN} {known.of_seeds_alone}" if known and known.of_seeds_alone else DRAWN)
    return found


def _fold(table: Table) -> Fold:
    """A table that is closed, under its title."""
    shown = readable(table)
    return Fold(shown.title, [replace(shown, title="")])


def _folds(summary: Summary, known: Study | None) -> list[Fold]:
    """All contrasts with every check, the parts of the panel, the further shapes."""
    about = OF_TRUTHS.format(least=known.headline.least) if known and known.headline and not known.of_run else DEGREES
    family = known.family if known else "the study's headline contrasts"
    headline = [entry for entry in summary["contrasts"] if entry["headline"]]
    others = [entry for entry in summary["contrasts"] if not entry["headline"]]
    folds = []
    if headline:
        tables: list[Table] = [readable(Table("", CHECKS, [_checks(entry) for entry in headline]))]
        margins = {entry["metric"]: f"{entry['margin']:g}" for entry in headline}
        several = len({*margins.values()}) > 1
        said = (
            listed(f"{margin} of {in_words(metric)}" for metric, margin in margins.items())
            if several
            else f"{headline[0]['margin']:g}"
        )
        note = (
            f"Margin of relevance: {said}. Holm p is corrected over {family}; the"
            " exact sign-flip p, the least it can be with so many seeds, and the jackknife are checks, not corrected."
            f" {about}"
        )
        folds.append(Fold("Headline contrasts with every check", tables, note))
    if others:
        folds.append(
            Fold(
                f"{len(others)} exploratory contrast{'s' if len(others) > 1 else ''}",
                [readable(Table("", CHECKS, [_checks(entry) for entry in others]))],
                "Not corrected for their number: something to look into, no verdict."
                + ("" if headline else f" {about}"),
            )
        )
    for shape, found in (summary.get("shapes") or {}).items():
        if shape != summary.get("shape"):
            rows = [_checks(entry) for entry in found["contrasts"]]
            tables = [_metrics("", found["corpora"])] + ([readable(Table("Contrasts", CHECKS, rows))] if rows else [])
            folds.append(Fold(f"SAEs of {shape}", tables))
    return folds


def _checks(entry: Contrast) -> tuple[str, ...]:
    flip = f"{p_of(entry['sign_flip_p'])} ({p_of(entry['sign_flip_least'])})"
    return (
        f"{entry['a']} − {entry['b']}",
        entry["metric"],
        plain(entry["difference"], sign=True),
        span(entry["ci95"]),
        plain(entry.get("error_seeds")),
        plain(entry.get("error_drawn")),
        plain(entry.get("df")),
        p_of(entry["p"]),
        p_of(entry["p_holm"]),
        flip if entry["sign_flip_p"] is not None else NONE,
        span(entry["jackknife_ci95"]),
        str(entry["seeds"]),
        entry["verdict"],
    )


def _metrics(title: str, corpora: Mapping[str, Mapping[str, object]]) -> Table:
    """Every figure of every corpus, metrics down."""
    metrics = dict.fromkeys(metric for found in corpora.values() for metric in found)
    rows = [(metric, *(_figure(found.get(metric)) for found in corpora.values())) for metric in metrics]
    return readable(Table(title, ("metric", *corpora), rows))


def _figure(value: Any) -> str:
    if isinstance(value, Mapping):
        ends = value.get("ci95")
        return plain(value["value"]) + (f" ({span(ends)})" if ends else "")
    return value if isinstance(value, str) else plain(value)


def overview(run: RunFound) -> list[tuple[str, str]]:
    """What the run is of, in a few lines."""
    seeds = sorted({str(sae.identity["init_seed"]) for sae in run.saes if "init_seed" in sae.identity}, key=int)
    shapes = list(dict.fromkeys(sae.shape_folder for sae in run.saes))
    rows = [("run", run.name)]
    rows += [] if run.of_truths else [("model", model_line(run, short=True))]
    if run.corpora:
        rows.append(("corpora", ", ".join(corpus.name for corpus in run.corpora)))
    if run.saes:
        rows.append(("SAEs", f"{len(run.saes)}: {', '.join(shapes)}"))
    if seeds:
        rows.append(("init seeds", ", ".join(seeds)))
    rows.append(("studies", ", ".join(run.studies) or "none yet"))
    return rows


def corpora_table(run: RunFound) -> Table:
    """Size and certificate of each corpus."""
    rows: list[tuple[str, ...]] = []
    for corpus in run.corpora:
        manifest, certificate = corpus.manifest, corpus.manifest.certificate or {}
        gap, ends = certificate.get("surprise_gap"), certificate.get("ci95")
        rows.append(
            (
                corpus.name,
                manifest.kind,
                f"{manifest.tokens():,}",
                f"{manifest.tokens('test'):,}",
                f"{manifest.rows():,}",
                certificate.get("verdict", NONE),
                NONE if gap is None else f"{plain(gap, sign=True)} ({span(ends)})",
                p_of(certificate.get("p_holm")),
                f"{certificate['tokens_scored']:,}" if certificate.get("tokens_scored") else NONE,
            )
        )
    header = (
        "corpus", "kind", "training tokens", "held-out tokens", "documents", "certificate", "surprise gap, nats/token",
        "Holm p", "tokens scored",
    )  # fmt: skip
    return Table("Corpora and their certificates", header, rows)


def saes_table(run: RunFound) -> Table:
    """What each SAE reaches on held-out text."""
    metrics = ("fvu", "ce_recovered", "l0", "never_fired")
    rows = []
    for sae in run.saes:
        tokens, seconds = sae.identity.get("tokens"), sae.record.get("seconds")
        rows.append(
            (
                sae.place,
                *(plain(sae.figure(metric)) for metric in metrics),
                NONE if tokens is None else f"{tokens:,}",
                NONE if seconds is None else f"{seconds:,.0f}",
            )
        )
    header = ("SAE", *metrics, "training tokens", "seconds")
    return readable(Table("SAEs on held-out text of their own corpus", header, rows))


def samples(run: RunFound) -> list[Samples]:
    """Four texts of each corpus whose data is here."""
    return [Samples(corpus.name, texts) for corpus in run.corpora if (texts := corpus.samples())]


def run_pictures(run: RunFound, folder: Path) -> dict[str, Picture]:
    """The report's own figures, drawn into `folder`, by name; those without data are left out."""
    study = run.studies.get("corpora")
    compared = cast(CorporaSummary, study.summary) if study else None
    certificates = {c.name: c.manifest.certificate for c in run.corpora if c.manifest.certificate}
    if compared:
        certificates |= {name: cell["as_model"] for name, cell in compared["cells"].items()}
    found: dict[str, Picture] = {}
    shares, lines = _positions(run), forest_lines(run)
    for name, title, drawn in (
        ("answer", f"Every headline comparison with its 95 % interval, in margins of relevance ({margins(lines)}); small"
         " marks: the texts or tasks that it is made of",
         lambda path: draw_forest(lines, path)),
        ("pit", "PIT histograms: flat is faithful, tilted another temperature, cut off truncated; grey is chance",
         lambda path: draw_pit(certificates, path)),
        ("positions", "Where the training tokens stand in their contexts",
         lambda path: len(shares) > 0 and draw_positions(shares, path)),
        ("training", "Training curves, one line per SAE; dashed: held-out text", lambda path: draw_training(run.saes, path)),
    ):  # fmt: skip
        path = folder / f"{name}.svg"
        if drawn(path):
            found[name] = Picture(title, path)
    return found


def position_notes(run: RunFound) -> list[str]:
    """What form the contexts have, and which corpora fill different positions."""
    from studies.statistics.verdicts import FAR_POSITIONS, position_distances

    layouts = sorted({sae.identity["layout"] for sae in run.saes if "layout" in sae.identity})
    notes = (
        [f"Contexts for training are {' and '.join(layouts)}, with {_contexts(run.saes)} tokens."] if layouts else []
    )
    far: dict[tuple[str, str], float] = {}
    for (one, other), distance in position_distances(_positions(run)).items():
        if one < other and distance > FAR_POSITIONS:
            far[one, other] = distance
    for study in run.studies.values():
        for entry in study.summary["contrasts"]:
            if "position_distance" in entry:
                pair = (min(entry["a"], entry["b"]), max(entry["a"], entry["b"]))
                far.setdefault(pair, entry["position_distance"])
    notes += [
        f"Warning: {one} and {other} fill different positions of their contexts (total variation {distance:.2f}, above"
        f" {FAR_POSITIONS:g}), so a difference between them may be one of lengths; the control is a length-matched own"
        " corpus."
        for (one, other), distance in sorted(far.items())
    ]
    return notes


def _positions(run: RunFound) -> dict[str, np.ndarray]:
    """Histogram of positions of each corpus that SAEs were trained on with aligned contexts."""
    aligned = {sae.corpus: int(sae.identity["context"]) for sae in run.saes if sae.identity.get("layout") == "aligned"}
    counts = {c.name: position_counts(c.manifest, aligned[c.name]) for c in run.corpora if c.name in aligned}
    return {name: values for name, values in counts.items() if values.sum()}


def _contexts(saes: Iterable[TrainedSae]) -> str:
    return " or ".join(
        str(one) for one in sorted({sae.identity["context"] for sae in saes if "context" in sae.identity})
    )


def model_line(run: RunFound, short: bool = False) -> str:
    """Name, revision and type of the model, the revision shortened or not."""
    found = run.model
    values = [str(found[key]) for key in ("name", "revision", "dtype") if found.get(key)]
    return ", ".join(re.sub(r"\b([0-9a-f]{12})[0-9a-f]{8,}\b", r"\1…", value) if short else value for value in values)


def words(stem: str) -> str:
    """A name of a file or setting as words."""
    return stem.replace("_", " ").replace("-", " ")
