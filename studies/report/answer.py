"""The report's first paragraph and its verdicts, put together from the headline contrasts of every study."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from studies.catalog import KNOWN, STUDIES
from studies.common.results import Summary
from studies.report.forest import Line
from studies.report.found import RunFound, StudyFound
from studies.report.readable import in_words
from studies.statistics.numbers import listed
from studies.statistics.records import Contrast
from studies.statistics.sentences import (
    DEPENDS,
    DEPENDS_ON_TASK,
    DIFFERS,
    DIFFERS_LITTLE,
    ONE_BY_ONE,
    SAME,
    UNCLEAR,
    UNDECIDED,
    part_by_part,
    sized,
    text_of,
)
from studies.statistics.verdicts import CONDITIONAL, SEEDS_FOR_VERDICT

QUESTION = "Does the text that a sparse autoencoder is trained on decide what it finds?"
KINDS = {
    DIFFERS: "differs",
    DEPENDS: "depends",
    DEPENDS_ON_TASK: "depends",
    DIFFERS_LITTLE: "little",
    SAME: "same",
    UNCLEAR: "unclear",
    UNDECIDED: "undecided",
}
CHANGES = {DEPENDS: "the text that they are measured on", DEPENDS_ON_TASK: "the task"}
NOTABLE = (DIFFERS, DEPENDS, DEPENDS_ON_TASK, DIFFERS_LITTLE)
"""Verdicts of which a study's sentence tells the largest comparison: of the first that it has."""
OWN_NOT_COMPARED = "no SAEs of the model's own text were compared with SAEs of other text"
UNCOUNTED = "not counted in the answer"
NOTHING_COMPARED = "there was nothing to compare"
FEW = re.compile(r"\d+ seeds?")
GIVEN = (
    "Intervals and p-values are over init seeds and, but for shared features, over the examples and contexts that the SAEs"
    " are measured on, given the corpora as they were drawn."
)
COUNTED = {
    DIFFERS: ("differs", "differ"),
    DEPENDS: ("depends on the text", "depend on the text"),
    DEPENDS_ON_TASK: ("depends on the task", "depend on the task"),
    DIFFERS_LITTLE: ("differs by less than the margin", "differ by less than the margin"),
    SAME: ("shows no relevant difference", "show no relevant difference"),
    UNCLEAR: ("cannot tell", "cannot tell"),
    UNDECIDED: ("cannot be decided", "cannot be decided"),
}


@dataclass(frozen=True)
class Answer:
    """What the report says first.

    Attributes:
        question: what was asked.
        short: the answer in a few words.
        paragraph: how many comparisons it rests on, of what, and why some could not be decided.
        findings: what each study compares, and what it says.
        remarks: what to bear in mind.
    """

    question: str
    short: str
    paragraph: str
    findings: list[tuple[str, str]]
    remarks: list[str]


@dataclass(frozen=True)
class Verdict:
    """One verdict of a study.

    Attributes:
        kind: `differs`, `depends`, `little`, `same`, `unclear`, `undecided` or `plain`: how it is coloured.
        label: the verdict in words.
        sentence: what it says.
        aside: why it is not among those that the answer counts, '' where it is.
    """

    kind: str
    label: str
    sentence: str
    aside: str = ""


def headlines(summary: Summary) -> list[Contrast]:
    """A study's headline contrasts."""
    return [entry for entry in summary["contrasts"] if entry["headline"]]


def conclusion(entry: Contrast) -> str:
    """The verdict of a headline contrast without its reason."""
    said = str(entry["verdict"])
    return UNDECIDED if said.startswith(UNDECIDED) else said


def verdicts(name: str, summary: Summary, is_counted: bool = True) -> list[Verdict]:
    """The verdicts of a study: those of its headline contrasts, and those of its own.

    Args:
        name: of the study.
        summary: its.
        is_counted: whether the answer counts its headlines.
    """
    study, controls = KNOWN.get(name), summary.get("controls", {})
    notes = [Verdict("plain", "note", in_words(note)) for note in (study.cautions(summary) if study else ())]
    found = [
        Verdict(
            KINDS.get(conclusion(entry), "plain"),
            conclusion(entry),
            entry["sentence"],
            f"a control, {UNCOUNTED}" if entry["b"] in controls else "" if is_counted else UNCOUNTED,
        )
        for entry in headlines(summary)
    ]
    own = study.verdicts(summary) if study else []
    return [*notes, *found, *(Verdict("plain", *one, UNCOUNTED if study and study.headline else "") for one in own)]


def answer(run: RunFound) -> Answer:
    """The question and what the run's studies say to it."""
    lines = forest_lines(run)
    entries = [(line.study, line.entry) for line in lines if not line.control]
    said = [conclusion(entry) for _, entry in entries]
    of_run = counted_studies(run)
    known = [(study.record, study.summary) for study in of_run.values() if study.record]
    remarks = _controlled([(line.study, line.entry) for line in lines if line.control])
    remarks += [note for study, summary in known for note in study.cautions(summary)]
    remarks += [note for study, summary in known for note in study.remarks(summary)]
    of_drawn = any(entry.get("error_drawn") is not None for _, entry in entries)
    if entries and not run.of_truths:
        remarks.append(GIVEN if of_drawn else CONDITIONAL)
    gone = dict.fromkeys(name for study in run.studies.values() for name in study.summary.get("missing_corpora", ()))
    if gone:
        remarks.append(f"Not in the panel, since their text was not where it had been: {listed(gone)}.")
    remarks += dict.fromkeys(one for study in run.studies.values() for one in study.summary.get("loads", ()))
    further = [f"{name} ({study.of})" for name, study in run.studies.items() if study.of != name]
    if further:
        remarks.append(
            f"Shown and not counted in the answer, which counts a study once, from the folder of its name: {listed(further)}."
        )
    studied = {study.of for study in run.studies.values()}
    missing = [] if run.of_truths else [name for name in STUDIES if name not in studied]
    if missing:
        remarks.append(f"Not studied in this run: {', '.join(missing)}.")
    first = next(iter(run.studies.values()), None)
    question = first.record.question if first and first.record and run.of_truths else QUESTION
    paragraph = " ".join([*_basis(entries, said, run.of_truths), *(_sizes(run) if entries else ())])
    findings = [(subject(name), _found([one for one in entries if one[0] == name])) for name in dict(entries)]
    return Answer(question, _short(run, said), paragraph, findings, [in_words(one) for one in remarks])


def forest_lines(run: RunFound) -> list[Line]:
    """The headline contrasts of the studies that the answer counts, as the first picture shows them."""
    controls = _controls(run)
    return [
        Line(name, subject(name), KINDS.get(conclusion(entry), "plain"), entry, entry["b"] in controls)
        for name, study in counted_studies(run).items()
        for entry in headlines(study.summary)
    ]


def counted_studies(run: RunFound) -> dict[str, StudyFound]:
    """The studies that the answer counts: each once, from the folder of its name."""
    return {
        name: study
        for name, study in run.studies.items()
        if study.of == name and (run.of_truths or not study.record or name in STUDIES)
    }


def _short(run: RunFound, said: list[str]) -> str:
    total, differing = len(said), said.count(DIFFERS)
    depending = {what: said.count(what) for what in CHANGES if what in said}
    if not total:
        if run.of_truths:
            return f"No answer: {NOTHING_COMPARED}."
        if any(study.record and study.record.headline for study in counted_studies(run).values()):
            return f"No answer: {OWN_NOT_COMPARED}."
        return "No answer yet: no study that it rests on is finished."
    if said.count(UNDECIDED) == total:
        return "It cannot be decided."
    if run.of_truths:
        plural = "s" if total > 1 else ""
        return f"{differing or 'None'} of {total} comparison{plural} {COUNTED[DIFFERS][differing > 1]}."
    if differing == total:
        return "Yes, in everything that was compared."
    if sum(depending.values()) == total:
        return f"It depends: which SAEs do better changes with {listed(CHANGES[what] for what in depending)}."
    if differing or depending:
        counts = {DIFFERS: differing} | depending
        words = [f"{count} {COUNTED[what][count != 1]}" for what, count in counts.items() if count]
        return f"In part: of {total} comparisons {listed(words)}."
    if UNCLEAR in said or UNDECIDED in said:
        return "Not shown: nothing differs by a relevant amount, but not every comparison can tell."
    if DIFFERS_LITTLE in said:
        return "Hardly: what differs does so by less than is relevant."
    return "No: no relevant difference in anything that was compared."


def _basis(entries: list[tuple[str, Contrast]], said: list[str], of_truths: bool) -> list[str]:
    """How many comparisons came to which verdict, and why none did."""
    if not entries:
        return []
    a, b = _names(entry["a"] for _, entry in entries), _names(entry["b"] for _, entry in entries)
    counts = [f"{said.count(kind)} {words[said.count(kind) != 1]}" for kind, words in COUNTED.items() if kind in said]
    plural = "s" if len(entries) > 1 else ""
    of_own = f"SAEs trained on {a} (the model's own text) with SAEs trained on {b}"
    compared = f"{a} with {b}" if of_truths else of_own
    found = [f"Of {len(entries)} headline comparison{plural} of {compared}, {listed(counts)}."]
    undecided = [
        (name, entry["seeds"], str(entry["verdict"]).removeprefix(f"{UNDECIDED}: "))
        for name, entry in entries
        if conclusion(entry) == UNDECIDED
    ]
    few = sorted({seeds for _, seeds, reason in undecided if FEW.fullmatch(reason)})
    if few:
        found.append(
            f"A verdict needs at least {SEEDS_FOR_VERDICT} init seeds; here some have {listed(map(str, few))}."
        )
    other = dict.fromkeys(f"{name}: {reason}" for name, _, reason in undecided if not FEW.fullmatch(reason))
    if other:
        found.append(f"Why else nothing can be decided: {'; '.join(other)}.")
    return found


def _sizes(run: RunFound) -> list[str]:
    """How many SAEs the comparisons rest on, and how much text those were trained and are measured on."""
    trained = [sae.identity["tokens"] for sae in run.saes if "tokens" in sae.identity]
    panels = [study.summary.get("sizes", {}).get("panel_tokens") or {} for study in counted_studies(run).values()]
    measured = [tokens for panel in panels for tokens in panel.values()]
    if not trained:
        return []
    seeds = len({sae.identity.get("init_seed") for sae in run.saes})
    said = f"{len(run.saes)} SAEs, {seeds} init seed{'s' if seeds > 1 else ''}, were trained on {_range(trained)} tokens each"
    return [said + (f" and measured on {_range(measured)} held-out tokens of each corpus." if measured else ".")]


def _range(counts: Sequence[int]) -> str:
    return " to ".join(f"{one:,}" for one in dict.fromkeys((min(counts), max(counts))))


def margins(lines: Sequence[Line]) -> str:
    """The margins of relevance that the first picture is drawn in: `1 point of features shared across seeds`."""
    known = {line.study: (line.entry["margin"], KNOWN[line.study].headline) for line in lines if line.study in KNOWN}
    return ", ".join(
        f"{sized(margin, headline.wording)} of {headline.wording.subject}"
        for margin, headline in known.values()
        if headline and margin is not None
    )


def _controls(run: RunFound) -> dict[str, str]:
    """Parts of the own corpus that are there to check a comparison, and whose lengths they have."""
    return {name: of for study in run.studies.values() for name, of in study.summary.get("controls", {}).items()}


def _controlled(entries: list[tuple[str, Contrast]]) -> list[str]:
    """What the controls say: own text against own text of other lengths or in another order."""
    parts = [
        f"{subject(study)}{f' on {text_of(entry)}' if entry.get('text') else ''}:"
        f" {conclusion(entry)} ({entry['a']} against {entry['b']})"
        for study, entry in entries
    ]
    return [f"Controls, which the answer does not count: {'; '.join(parts)}."] if parts else []


def _found(entries: list[tuple[str, Contrast]]) -> str:
    """What a study says, in one sentence: how many of its comparisons came to which verdict, and the largest that differs."""
    said = [conclusion(entry) for _, entry in entries]
    counts = {kind: said.count(kind) for kind in COUNTED if kind in said}
    words = [f"{count} {COUNTED[kind][count != 1]}" for kind, count in counts.items()]
    told = (
        f"of {len(said)} comparisons {listed(words)}" if len(said) > 1 else "".join(COUNTED[kind][0] for kind in counts)
    )
    for kind in NOTABLE:
        if kind in counts:
            chosen = [one for one, verdict in zip(entries, said, strict=True) if verdict == kind]
            study, entry = max(chosen, key=lambda one: abs(one[1].get("difference") or 0.0))
            largest = _extremes(study, entry) if kind in CHANGES else entry["sentence"].partition(ONE_BY_ONE)[0]
            told += f"{'; the largest' if counts[kind] > 1 else ''}: {largest}"
            break
    return f"{told[:1].upper()}{told[1:]}."


def subject(study: str) -> str:
    """What a study compares, as a noun."""
    headline = KNOWN[study].headline if study in KNOWN else None
    return headline.wording.subject if headline else study


def _extremes(study: str, entry: Contrast) -> str:
    """A contrast that depends on the text or task, on the two parts that are furthest apart."""
    headline = KNOWN[study].headline if study in KNOWN else None
    parts = entry.get("parts", {}) if headline else {}
    sizes = {name: part["difference"] for name, part in parts.items() if part["difference"] is not None}
    if headline is None or not sizes:
        return entry["sentence"]
    ends = [max(sizes, key=lambda name: sizes[name]), min(sizes, key=lambda name: sizes[name])]
    return part_by_part(headline.wording, entry, ends)


def _names(names: Iterable[str]) -> str:
    return listed(dict.fromkeys(names))
