"""What founding record 000 claims, on known truth: `python -m benchmarks.bench_variants bound`.

`compression` to half of the latents, its bound checked in every step for every token that the gate touches; beside it
pruning at once (the fixed ratio) and TopK that is as narrow from the start, at equally many latents. Truths are the
replicates; a killed run goes on, and one that is done is only shown again.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.shared import machine
from faithful.cli.show import progress
from faithful.hub.card_file import markdown_table
from studies.common.tables import plus_minus
from studies.statistics.estimates import contrast, estimate
from studies.statistics.numbers import fixed
from studies.synthetic.bench import Bench, Job
from studies.synthetic.config import STUDY, SyntheticConfig
from studies.synthetic.plan import arms_of
from studies.synthetic.summary import Values, by_truth, measured, name_of

TRUTH, D_SAE = "hier", 512
GRADUAL, AT_ONCE, NARROW = "compression-c1", "compression-sat_once-c1", f"topk-d_sae{D_SAE // 2}"
SHOWN = ("fvu", "recovery", "recovery_strict", "true_share", "mcc", "absorption", "alive")


def config_of(quick: bool) -> SyntheticConfig:
    """What is trained: four arms on some truths."""
    sizes = (
        {"truth_seeds": (0, 1), "seeds": (0,), "steps": 100} if quick else {"truth_seeds": (0, 1, 2, 3), "seeds": (0,)}
    )
    return SyntheticConfig(
        Path("runs") / ("bound-quick" if quick else "bound"),
        truths=(TRUTH,),
        variants=("topk", "compression"),
        settings=(
            f"topk.d_sae={D_SAE},{D_SAE // 2}",
            "compression.check_every=1",
            "compression.schedule=gradual,at once",
        ),
        planted=(),
        **{"steps": 1600, **sizes},  # type: ignore[arg-type]
    )


def bound(quick: bool) -> None:
    """Do it and print it."""
    config, began = config_of(quick), time.monotonic()
    with progress() as report:
        STUDY.run(config, report)
    print(f"{machine()}; load {os.getloadavg()[0]:.1f}; {(time.monotonic() - began) / 60:.1f} minutes\n")
    jobs = [Job(TRUTH, seed, arm) for seed in config.truth_seeds for arm in arms_of(config)]
    labels = {name_of(job): job.arm.label for job in jobs}
    figures = {labels[name]: found for name, found in measured(Bench(config), jobs).items()}
    print(said(figures, config))


def said(figures: Mapping[str, Mapping[str, Values]], config: SyntheticConfig) -> str:
    """The counts of the bound and the figures of all arms, as Markdown.

    Args:
        figures: by arm, metric, truth seed and init seed.
        config: what was trained.
    """
    checked = [
        (arm, *(f"{_sum(figures[arm][f'own_{name}']):,.0f}" for name in ("bound_checks", "bound_violations")),
         fixed(_sum(figures[arm]["own_single_bound_violations"]) / _sum(figures[arm]["own_bound_checks"]), 4),
         _mean(figures[arm]["own_bound_tightness"], 3))
        for arm in (GRADUAL, AT_ONCE)
    ]  # fmt: skip
    header = ("variant", "checks", "violations of 2Σ", "share that violates Σ", "tightness")
    rows = [
        (arm, *(_mean(of[metric], 0 if metric == "alive" else 4) for metric in SHOWN)) for arm, of in figures.items()
    ]
    rows += [
        (f"{one} − {other}", *(_apart(figures[one][metric], figures[other][metric]) for metric in SHOWN))
        for one, other in ((GRADUAL, AT_ONCE), (GRADUAL, NARROW), (AT_ONCE, NARROW))
    ]
    about = f"{len(config.truth_seeds)} truths × {len(config.seeds)} SAEs, {config.steps} steps of {config.batch}"
    return "\n\n".join(
        [
            f"**The bound on `{TRUTH}`** ({about})",
            markdown_table(header, checked),
            f"**Kept {D_SAE // 2} of {D_SAE} latents** (± 95 % over truths)",
            markdown_table(("variant", *SHOWN), rows),
        ]
    )


def _sum(values: Values) -> float:
    return sum(value or 0.0 for of in values.values() for value in of.values())


def _mean(values: Values, digits: int) -> str:
    found = estimate(by_truth(values))
    return plus_minus(found.value, found.ci95, digits)


def _apart(one: Values, other: Values) -> str:
    found = contrast(by_truth(one), by_truth(other))
    return plus_minus(found.value, found.ci95, 4, sign=True)
