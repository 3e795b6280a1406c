"""What is asked for, and what is refused before work."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.sae.variant import variant_names
from studies.synthetic.config import SyntheticConfig
from studies.synthetic.plan import arms_of, check_plan, planted_arms

CONFIG = SyntheticConfig(Path("out"))


def test_by_default_every_variant_and_a_narrow_topk() -> None:
    arms = arms_of(CONFIG)
    assert [arm.label for arm in arms] == [*variant_names(), "topk:d_sae=256"]
    stack = arms[0].stack(CONFIG, "hier", (0, 1))
    assert (stack.d_in, stack.d_sae, stack.k, stack.dead_tokens) == (128, 512, 11, 51_200)
    assert arms[0].stack(CONFIG, "ind", (0,)).k == 8
    assert arms[-1].stack(CONFIG, "hier", (0,)).d_sae == 256


def test_parameters_go_to_the_variant_and_sizes_to_the_stack() -> None:
    _, arm = arms_of(replace(CONFIG, variants=("anneal:start=2:k=5",)))
    assert arm.variant.label.startswith("anneal start=2.0 ") and arm.stack(CONFIG, "ind", (0,)).k == 5


def test_topk_is_there_to_be_compared_with() -> None:
    def labels(*variants: str) -> list[str]:
        return [arm.label for arm in arms_of(replace(CONFIG, variants=variants))]

    assert labels("anneal", "topk:k=5") == ["topk", "anneal", "topk:k=5"]
    assert labels("anneal", "topk") == ["anneal", "topk"]
    assert [arm.label for arm in planted_arms(replace(CONFIG, planted=("batchtopk",)))] == ["batchtopk"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"truths": ("heir",)}, "no truth 'heir'; choose hier or ind with --truth. Did you mean hier?"),
        ({"truths": ("foreign",)}, "no truth 'foreign'"),
        ({"variants": ("orthogonl",)}, "no variant 'orthogonl'.*Did you mean orthogonal"),
        ({"variants": ("topk:width=3",)}, "variant topk cannot be trained so"),
        ({"variants": ("topk:k=many",)}, "k of topk:k=many is no whole number; write it as topk:k=256"),
        ({"variants": ("topk:k=0",)}, "k 0 does not fit"),
        ({"variants": ("topk", "topk")}, "topk is asked for twice"),
        ({"planted": ("topk:k=9999",)}, "k 9999 does not fit"),
        ({"seeds": (1, 1)}, "--seeds names none, or one twice"),
        ({"truth_seeds": ()}, "--truth-seeds names none"),
        ({"truth_seeds": (-1,)}, "must not be negative"),
        ({"d_in": 30}, "d_in is 30, and a truth needs a multiple of 4"),
        ({"variants": ("topk:",)}, "'topk:' states no setting.*write NAME or NAME:PARAMETER=VALUE, as topk:k=16"),
        ({"variants": ("anneal:start",)}, "'anneal:start' states no setting"),
        ({"variants": ("topk:k=2:k=3",)}, "'topk:k=2:k=3' states no setting, or one twice"),
        ({"lr": 0.0}, "--lr is 0, and a learning rate is above 0"),
        ({"lr": -0.1}, "--lr is -0.1, and a learning rate is above 0"),
        ({"lr": float("nan")}, "--lr is nan; state a finite number"),
        ({"tokens": 1}, "tokens is 1, and a variance needs 2"),
        ({"workers": 0}, "--workers is at least 1"),
    ],
)
def test_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(FaithfulError, match=said):
        check_plan(replace(CONFIG, **changed))
