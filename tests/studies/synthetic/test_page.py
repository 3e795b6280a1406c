"""docs/variants.md as `benchmarks.variants_page` makes it of a summary."""

import re
from typing import Any

from benchmarks.variants_page import page_of
from studies.common.results import Done


def test_the_page_says_what_was_expected_and_what_is_found(done: Done) -> None:
    def entry(metric: str, difference: float, verdict: str) -> Any:
        said = {
            "metric": metric,
            "difference": difference,
            "verdict": verdict,
            "sentence": f"{metric} so",
            "headline": True,
        }
        return {**done.summary["contrasts"][0], "a": "anneal on hier", **said}

    contrasts = [entry("recovery", 0.1, "differs"), entry("fvu", 0.1, "differs"), entry("absorption", 0.1, "differs")]
    contrasts.append({**entry("recovery", 0.0, "cannot be decided: 2 seeds"), "a": "l2 on hier"})
    contrasts.append({**entry("recovery", 0.5, "exploratory"), "a": "soft-frozen on hier", "headline": False})
    page = page_of({**done.summary, "contrasts": contrasts}, "As told")
    leads = re.search(r"\*\*K that falls \(`anneal`\) helps\?\*\*\n\n(.*?)\n\n", page, re.DOTALL)
    assert leads and leads[1].splitlines() == ["- fvu — no, the contrary: fvu so.", "- recovery — yes: recovery so."]
    assert "- recovery — cannot be decided: recovery so." in page
    # t with 2 degrees of freedom: 6.205 at p .025, 4.303 at p .05
    assert (
        "With 3 truths |t| must be above 6.2 for the clearest of a family of 2 to differ, and above 4.3 for the" in page
    )
    assert page.count("- It was not trained.") == 4
    assert "`hier`: two seeds of topk share" in page and "`ind`: two seeds of topk share" in page
    assert "**What is found of hier: 3 truths × 2 init seeds, ± 95 %**\n\n| variant | fvu |" in page
    assert "- `topk-d_sae40-k2`: topk" in page
