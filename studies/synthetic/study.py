"""`faithful study synthetic`: variants of the SAE on activations whose features are known."""

from faithful.base.files import folder_lock
from faithful.base.progress import Reporter, silent
from studies.common.results import Done, write_results
from studies.synthetic import figures as synthetic_figures
from studies.synthetic.bench import Bench, Job
from studies.synthetic.config import SyntheticConfig
from studies.synthetic.plan import arms_of, check_plan
from studies.synthetic.planted import study_planted
from studies.synthetic.summary import (
    CONDITIONAL,
    SyntheticSummary,
    contrasts,
    controlled,
    estimates,
    measured,
    name_of,
    rows_of_results,
)


def study_synthetic(config: SyntheticConfig, report: Reporter = silent) -> Done:
    """Train every variant on every truth, all init seeds on the same activations, and hold what they find against the truth.

    A result is kept by all that decides it: truth, truth seed, variant, parameters, sizes and init seed. A study that was
    killed goes on with the variant that it was training.

    Raises:
        FaithfulError: what `check_plan` refuses.
    """
    check_plan(config)
    arms = arms_of(config)
    jobs = [Job(truth, seed, arm) for truth in config.truths for seed in config.truth_seeds for arm in arms]
    with folder_lock(config.out):
        bench = Bench(config)
        reused = bench.run(jobs, report)
        figures = measured(bench, jobs)
        summary: SyntheticSummary = {
            "study": "synthetic",
            "seed": min(config.truth_seeds),
            "sizes": {
                "truth_seeds": len(config.truth_seeds),
                "seeds": len(config.seeds),
                "saes": len(jobs) * len(config.seeds),
                "tokens": config.steps * config.batch,
                "measured_on": config.tokens,
            },
            "arms": {arm.label: arm.variant.label for arm in arms},
            "truths": {
                truth: list(dict.fromkeys(name_of(job) for job in jobs if job.truth == truth))
                for truth in config.truths
            },
            "corpora": {name: dict(estimates(of)) for name, of in figures.items()},
            "contrasts": contrasts(figures, jobs),
            "beside": controlled(figures, jobs),
            "conditional_on": CONDITIONAL,
            "planted": study_planted(bench, report),
        }
        write_results(config.out, summary, rows_of_results(figures))
        synthetic_figures.draw(summary, config.out / "figures")
    return Done(config.out, summary, reused)
