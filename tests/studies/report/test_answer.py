"""The short answer."""

from pathlib import Path
from typing import Any

import pytest

from studies.catalog import KNOWN, STUDIES
from studies.probes.study import AT_CEILING
from studies.report.answer import UNCOUNTED, answer, forest_lines, margins, verdicts
from studies.report.found import RunFound, StudyFound, read_run
from studies.statistics.verdicts import Comparison, judge, summarise
from tests.studies.headlines import HEADLINES
from tests.studies.report.runs_made import entry, pairs

OF_OWN = "SAEs trained on own (the model's own text)"


def part(difference: float, verdict: str = "differs") -> dict[str, Any]:
    return {"difference": difference, "ci95": [difference - 0.01, difference + 0.01], "verdict": verdict}


TURNED = {"own": part(0.263), "prose": part(-0.052), "web": part(0.002, "cannot tell")}


def run_of(**studies: list[dict[str, Any]]) -> RunFound:
    found = {name: StudyFound(name, Path(name), {"contrasts": c, "corpora": {}}) for name, c in studies.items()}
    return RunFound(Path("demo"), [], [], found)


@pytest.mark.parametrize(
    ("found", "short"),
    [
        ([entry("differs"), entry("differs", "c")], "Yes, in everything that was compared."),
        ([entry("differs"), entry("cannot tell", "c")], "In part: of 2 comparisons 1 differs."),
        ([entry("depends on the text", parts=TURNED)], "It depends: which SAEs do better changes with the text"),
        ([entry("depends on the task", parts=TURNED)], "It depends: which SAEs do better changes with the task."),
        (
            [entry("depends on the task", parts=TURNED), entry("depends on the text", "c", parts=TURNED)],
            "It depends: which SAEs do better changes with the text that they are measured on and the task.",
        ),
        (
            [entry("differs"), entry("depends on the text", "c", parts=TURNED), entry("cannot tell", "d")],
            "In part: of 3 comparisons 1 differs and 1 depends on the text.",
        ),
        ([entry("no relevant difference")], "No: no relevant difference in anything that was compared."),
        ([entry("differs by less than the margin"), entry("no relevant difference", "c")], "Hardly: what differs"),
        ([entry("cannot tell"), entry("no relevant difference", "c")], "Not shown: nothing differs"),
        ([entry("cannot be decided: 4 seeds", seeds=4)], "It cannot be decided."),
        ([entry("exploratory", headline=False)], "No answer: no SAEs of the model's own text"),
    ],
)  # fmt: skip
def test_the_short_answer_follows_the_verdicts(found: list[dict[str, Any]], short: str) -> None:
    given = answer(run_of(seeds=[one | {"seeds": one.get("seeds", 6)} for one in found]))
    assert given.short.startswith(short)


def test_it_counts_and_says_of_each_study_what_it_found() -> None:
    fakes = [entry("no relevant difference", b, seeds=6) for b in ("c", "d")]
    fakes[1] |= {"text": "foreign", "texts": ["c", "d"]}
    given = answer(run_of(seeds=[entry("differs", seeds=6), entry("cannot tell", "c", seeds=6)], fakes=fakes))
    assert given.paragraph.startswith(
        f"Of 4 headline comparisons of {OF_OWN} with SAEs trained on prose, c and d, 1 differs,"
    )
    assert given.paragraph.endswith("2 show no relevant difference and 1 cannot tell.")
    assert given.findings == [
        ("features shared across seeds", "Of 2 comparisons 1 differs and 1 cannot tell: differs prose."),
        ("fake features", "Of 2 comparisons 2 show no relevant difference."),
    ]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([entry("differs", difference=0.1), entry("differs", "c", difference=-0.3), entry("cannot tell", "d")],
         "Of 3 comparisons 2 differ and 1 cannot tell; the largest: differs c."),
        ([entry("differs by less than the margin", "c", difference=0.4), entry("differs", difference=0.1)],
         "Of 2 comparisons 1 differs and 1 differs by less than the margin: differs prose."),
        ([entry("differs", sentence="it differs; one by one: a, b and c")], "Differs: it differs."),
        ([entry("no relevant difference")], "Shows no relevant difference."),
    ],
)  # fmt: skip
def test_a_study_says_one_sentence_however_much_it_compares(found: list[dict[str, Any]], told: str) -> None:
    """How many of how many, and the largest that differs: the others, and the parts of each, stand in its section."""
    given = answer(run_of(seeds=[one | {"seeds": 6} for one in found]))
    assert given.findings == [("features shared across seeds", told)]


def test_it_says_on_how_much_it_rests(run: Path) -> None:
    found = read_run(run)
    assert answer(found).paragraph.endswith(
        "4 SAEs, 2 init seeds, were trained on 1,234 tokens each and measured on 2,689 to 2,724 held-out tokens of each"
        " corpus."
    )
    assert margins(forest_lines(found)) == "1 point of features shared across seeds"


def test_fewer_than_six_seeds_cannot_be_decided() -> None:
    few = judge(
        HEADLINES["seeds"],
        [Comparison("own", "b", "shared_feature_ratio", pairs(0.9, 0, 4), pairs(0.1, 0.001, 4), True)],
    )
    given = answer(run_of(seeds=few))
    assert (
        given.short == "It cannot be decided." and "needs at least 6 init seeds; here some have 4." in given.paragraph
    )


def test_a_control_is_told_but_not_counted() -> None:
    """Own text of other lengths that gives what own text gives does not turn a Yes into an In part."""
    found = run_of(seeds=[entry("differs", seeds=6), entry("no relevant difference", "own-like-prose", seeds=6)])
    assert answer(found).short.startswith("In part")
    found.studies["seeds"].summary["controls"] = {"own-like-prose": "prose"}
    given = answer(found)
    assert given.short == "Yes, in everything that was compared."
    assert f"Of 1 headline comparison of {OF_OWN} with SAEs trained on prose, 1 differs." in given.paragraph
    assert given.remarks[0] == (
        "Controls, which the answer does not count: features shared across seeds: no relevant difference (own against"
        " own-like-prose)."
    )


def test_tasks_at_their_ceiling_are_the_reason_and_not_the_seeds() -> None:
    nothing = dict.fromkeys(range(6), None)
    figures = {"accuracy": {"own": nothing, "prose": nothing}}
    few = judge(
        HEADLINES["seeds"],
        [Comparison("own", "b", "shared_feature_ratio", pairs(0.9, 0, 4), pairs(0.1, 0.001, 4), True)],
    )
    probes = summarise(HEADLINES["probes"], figures, "own", undefined=AT_CEILING)["contrasts"]
    given = answer(run_of(probes=probes))
    assert given.short == "It cannot be decided." and "init seeds; here" not in given.paragraph
    assert "Why else nothing can be decided: probes: on every task the activations alone" in given.paragraph
    assert "here some have 4." in answer(run_of(seeds=few, probes=probes)).paragraph


def test_corpora_whose_text_is_gone_are_named() -> None:
    found = run_of(seeds=[entry("differs", seeds=6)])
    found.studies["seeds"].summary["missing_corpora"] = ["prose"]
    assert "Not in the panel, since their text was not where it had been: prose." in " ".join(answer(found).remarks)


def test_a_reversal_is_told_once_with_direction_and_size() -> None:
    """Both headlines of two corpora depend on the text; the paragraph counts both and states each text once."""
    both = [
        entry("depends on the text", text=text, texts=[name], parts=TURNED, seeds=6)
        for text, name in (("matched", "own"), ("foreign", "prose"))
    ]
    given = answer(run_of(reconstruction=both))
    assert given.paragraph.startswith(
        f"Of 2 headline comparisons of {OF_OWN} with SAEs trained on prose, 2 depend on the"
    )
    told = (
        "Of 2 comparisons 2 depend on the text; the largest: of the cross-entropy, own-corpus SAEs recover 0.263 more on own"
        " (0.253 to 0.273) and 0.052 less on prose (0.042 to 0.062) than prose-corpus SAEs."
    )
    assert given.findings == [("the cross-entropy recovered", told)]


def of(study: str, found: list[dict[str, Any]], **more: Any) -> Any:
    return {"study": study, "corpora": {}, "contrasts": found} | more


@pytest.mark.parametrize("study", ["reconstruction", "seeds"])
def test_a_study_in_a_folder_of_another_name_is_not_counted(study: str) -> None:
    """Whether it is beside the one that is, or not."""
    given = [entry("depends on the text", parts=TURNED, seeds=6)]
    found = {name: StudyFound(name, Path(name), of(study, given)) for name in (study, f"{study}-full")}
    remark = (
        f"Shown and not counted in the answer, which counts a study once, from the folder of its name: {study}-full"
    )
    both = answer(RunFound(Path("demo"), [], [], found))
    assert both.paragraph.startswith("Of 1 headline comparison ") and remark in " ".join(both.remarks)
    del found[study]
    alone = answer(RunFound(Path("demo"), [], [], found))
    assert alone.short == "No answer yet: no study that it rests on is finished." and remark in " ".join(alone.remarks)
    assert not any(one.startswith("Not studied") and study in one for one in alone.remarks)


def test_a_study_of_others_that_depends_says_so_in_its_own_words() -> None:
    found = {"extra": StudyFound("extra", Path("extra"), of("extra", [entry("depends on the text", seeds=6)]))}
    assert answer(RunFound(Path("demo"), [], [], found)).findings == [
        ("extra", "Depends on the text: depends on the text prose.")
    ]


def test_verdicts_that_the_answer_does_not_count_say_so() -> None:
    """Those of a family beside the headlines, of a control, of an optional study: a badge alone looks like a headline's."""
    foreign = {"contrasts": [entry("differs", b="c")]}
    summary: Any = {
        "corpora": {}, "contrasts": [entry("differs"), entry("cannot tell", "own-like-prose")], "foreign": foreign,
        "controls": {"own-like-prose": "prose"},
    }  # fmt: skip
    said = {(one.label, one.sentence): one.aside for one in verdicts("fakes", summary)}
    assert said == {
        ("differs", "differs prose"): "",
        ("cannot tell", "cannot tell own-like-prose"): "a control, not counted in the answer",
        ("differs", "differs c"): UNCOUNTED,
    }
    (explained,) = verdicts("explanations", {"corpora": {}, "contrasts": [entry("differs")]}, is_counted=False)
    assert explained.aside == UNCOUNTED


@pytest.mark.parametrize(
    ("said", "short"),
    [
        (["differs", "differs"], "2 of 2 comparisons differ."),
        (["differs", "cannot tell", "no relevant difference"], "1 of 3 comparisons differs."),
        (["no relevant difference"], "None of 1 comparison differs."),
        (["cannot be decided: 2 seeds"], "It cannot be decided."),
        ([], "No answer: there was nothing to compare."),
    ],
)
def test_truths_are_answered_in_words_of_their_own(said: list[str], short: str) -> None:
    """There are no corpora, no SAEs of own text, and no yes to which variant it is."""
    given = answer(run_of(synthetic=[entry(verdict, seeds=6) for verdict in said]))
    assert (given.question, given.short) == (KNOWN["synthetic"].question, short)


def test_optional_studies_are_not_missed_and_count_for_nothing_in_the_answer() -> None:
    optional = [name for name, study in KNOWN.items() if study.optional]
    given = answer(run_of(**{name: [entry("differs", seeds=6)] for name in optional}))
    assert optional and given.paragraph == "" and given.remarks == [f"Not studied in this run: {', '.join(STUDIES)}."]
    assert answer(run_of(seeds=[entry("differs", seeds=6)])).remarks[-1].endswith("fakes, probes, reconstruction.")
