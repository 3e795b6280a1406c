"""What the study of variants says beside its tables."""

from studies.statistics.sentences import sentence
from studies.variants.config import MEASURED, STUDY, WITHOUT_VERDICT


def test_what_is_lacking_and_what_came_out_alike_is_said() -> None:
    groups = [{"shape": "f8-k2", "corpus": name, "same": ["sharing"]} for name in ("own", "prose")]
    said = STUDY.warnings({"left_out": {"seeds": "missing", "fakes": "outdated"}, "groups": groups})
    assert said == [
        "Not compared, since the run has not measured it: shared_feature_ratio (faithful study seeds).",
        "Not compared, since it was measured before some of the SAEs were trained; run it again: fake_contrast (faithful"
        " study fakes).",
        "On own and prose the SAEs of sharing are TopK's, bit for bit: what the variant adds never acted in the training,"
        " and there is nothing to compare.",
    ]
    note, mark = STUDY.notes(
        {"own": "own", "contrasts": [{"metric": "fvu"}, {"metric": "accuracy"}, {"metric": "scr"}]}
    )
    assert mark.startswith("Known not to measure quality") and mark.endswith(": scr.")
    assert "fvu, alive_share and shared_feature_ratio of every variant on own" in note
    (alone,) = STUDY.notes({"own": "own", "contrasts": [{"metric": "fvu"}]})
    assert alone.endswith("contexts of text were drawn."), "a run whose other studies were not done"
    assert "accuracy and scr, which depend on that draw most" in note, "of those that were measured"


def test_figures_with_a_verdict_have_words() -> None:
    for metric, headline in MEASURED.items():
        entry = {
            "a": "x", "b": "topk", "metric": metric, "difference": 0.5, "ci95": [0.4, 0.6], "p_holm": 0.001, "seeds": 6,
            "left_out": [], "verdict": "differs", "headline": metric not in WITHOUT_VERDICT, "margin": headline.margin,
        }  # fmt: skip
        assert "x" in sentence(headline.wording, entry) and "topk" in sentence(headline.wording, entry)
