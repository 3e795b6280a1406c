"""docs/variants.md as `benchmarks.variants_page` makes it of a summary."""

import re
from typing import Any

from benchmarks.variants_page import page_of
from studies.common.results import Done


def test_the_page_says_what_was_expected_and_what_is_found(done: Done) -> None:
    def entry(metric: str, difference: float, verdict: str) -> Any:
        said = {"metric": metric, "difference": difference, "verdict": verdict, "sentence": f"{metric} so"}
        return {**done.summary["contrasts"][0], "a": "anneal on hier", **said}

    contrasts = [entry("recovery", 0.1, "differs"), entry("fvu", 0.1, "differs"), entry("absorption", 0.1, "differs")]
    contrasts.append({**entry("recovery", 0.0, "cannot be decided: 2 seeds"), "a": "l2 on hier"})
    page = page_of({**done.summary, "contrasts": contrasts}, "As told")
    leads = re.search(r"\*\*K that falls \(`anneal`\) helps\?\*\*\n\n(.*?)\n\n", page, re.DOTALL)
    assert leads and leads[1].splitlines() == ["- fvu — no, the contrary: fvu so.", "- recovery — yes: recovery so."]
    assert "- recovery — cannot be decided: recovery so." in page
    assert page.count("- It was not trained.") == 4
    assert "`hier`: two seeds of topk share" in page and "`ind`: two seeds of topk share" in page
    assert "**What is found of hier: 3 truths × 2 init seeds, ± 95 %**\n\n| variant | fvu |" in page
    assert "- `topk:d_sae=40:k=2`: topk" in page
