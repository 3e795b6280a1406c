"""What `benchmarks.bench_variants bound` trains and says."""

from benchmarks.variants_bound import AT_ONCE, GRADUAL, NARROW, SHOWN, config_of, said
from studies.synthetic.plan import arms_of, check_plan
from studies.synthetic.summary import Values


def test_what_is_compared_keeps_equally_many_latents() -> None:
    config = config_of(quick=False)
    check_plan(config)
    arms = {arm.label: arm for arm in arms_of(config)}
    assert list(arms) == ["topk", NARROW, GRADUAL, AT_ONCE]
    assert arms[NARROW].sizes == {"d_sae": 256} and arms[GRADUAL].stack(config, "hier", (0,)).d_sae == 512
    assert "keep=0.5 schedule=gradual" in arms[GRADUAL].variant.label
    assert "keep=0.5 schedule=at once" in arms[AT_ONCE].variant.label


def test_counts_are_added_up_and_figures_are_means_over_truths() -> None:
    def values(base: float) -> Values:
        return {truth: {0: base + truth, 1: base + truth} for truth in range(3)}

    figures = {
        arm: {metric: values(base) for metric in SHOWN} for base, arm in enumerate(("topk", NARROW, GRADUAL, AT_ONCE))
    }
    for arm in (GRADUAL, AT_ONCE):
        counts = {"bound_checks": 1e6, "bound_violations": 0.0, "single_bound_violations": 2e5, "bound_tightness": 0.7}
        figures[arm] |= {f"own_{name}": {t: {0: value, 1: value} for t in range(3)} for name, value in counts.items()}
    text = said(figures, config_of(quick=False))
    assert f"| {GRADUAL} | 6,000,000 | 0 | 0.2000 | 0.700\u00a0±\u00a00.000 |" in text
    assert "| topk | 1.0000\u00a0±\u00a02.4841 |" in text  # t with 2 degrees of freedom times 1/√3
    assert f"| {GRADUAL} − {AT_ONCE} | −1.0000\u00a0±\u00a00.0000 |" in text
    assert f"| {GRADUAL} − {NARROW} | +1.0000\u00a0±\u00a00.0000 |" in text
