"""The tables of `faithful study fakes`, for the terminal and the report."""

from collections.abc import Mapping, Sequence
from typing import Any

from studies.common.tables import Table, cell, contrast_tables
from studies.fakes.counts import CONTROLS
from studies.fakes.foreign import NOISE
from studies.fakes.rules import DENSITIES
from studies.fakes.summary import FakesSummary, Sweeps
from studies.statistics.headlines import FOREIGN, MATCHED
from studies.statistics.numbers import NONE

TAUS = {"1": "1", "q0.5": "the latent's median on text", "q0.9": "its 90th percentile", "q0.99": "its 99th percentile"}


def fakes_tables(summary: FakesSummary) -> list[Table]:
    """All tables of the study."""
    names = list(summary["corpora"])

    def rows_of(metrics: Sequence[str]) -> list[tuple[str, ...]]:
        return [(metric, *(cell(summary["corpora"][name].get(metric)) for name in names)) for metric in metrics]

    rules = ["fake_contrast", "fake_notes", "fake_code", *(f"fake_density_{100 * p:g}" for p in DENSITIES)]
    on_texts = [f"fake_contrast_{text}" for text in (MATCHED, FOREIGN)]
    controls = [f"fake_contrast_{control}" for control in CONTROLS]
    sizes = summary["sizes"]
    read = f"{sizes['noise_contexts']:,} contexts of random tokens, {sizes['noise_tokens']:,} tokens"
    tables = [
        Table(
            f"Fake latents as a share of all ({read}), 95 % interval over seeds and over contexts",
            ("rule", *names),
            rows_of(
                [*(metric for metric in on_texts if any(metric in of for of in summary["corpora"].values())), rules[0]]
            ),
        ),
        Table(
            "Dense on random tokens, whatever they do on text, as a share of all latents: no share of fakes, since TopK"
            f" spends its budget on every text; the paper's notes: of the first {sizes['fake_notes_contexts']:,} contexts",
            ("rule", *names),
            rows_of(rules[1:]),
        ),
        Table(
            "What those intervals are made of: standard error of the seeds + of the contexts of text and random tokens",
            ("rule", *names),
            [(rule, *(_errors(summary["corpora"][name].get(rule)) for name in names)) for rule in rules],
        ),
        Table(
            "The headline rule on controls in place of random tokens or of the SAE",
            ("control", *names),
            [row for row in rows_of(controls) if any(shown != NONE for shown in row[1:])],
        ),
        Table(
            "Of the most that can be so dense (L0/p)",
            ("rule", *names),
            rows_of(["fake_contrast_of_bound", "fake_density_1_of_bound"]),
        ),
        *_sweeps(summary["sweeps"], names),
    ]
    return tables + contrast_tables(summary) + _foreign(summary, names)


def _sweeps(sweeps: Sweeps, names: Sequence[str]) -> list[Table]:
    """Shares over p, and over τ and p."""
    densities: list[tuple[str, ...]] = [
        (title, f"{float(p):.1%}", *(cell(sweep[name][p]) for name in names))
        for title, sweep in (("fake_contrast", sweeps["sweep_contrast"]), ("fake_density", sweeps["sweep_density"]))
        for p in sweep[names[0]]
    ]
    by_tau = sweeps["sweep_tau"]
    over: list[tuple[str, ...]] = [
        (TAUS.get(tau, tau), f"{float(p):.0%}", *(cell(by_tau[name][tau][p]) for name in names))
        for tau, by_share in by_tau[names[0]].items()
        for p in by_share
        if float(p) in DENSITIES
    ]
    silent = ", ".join(f"{name} {sweeps['silent_on_panel'][name]['value']:,.0f}" for name in names)
    return [
        Table("Over p: fires on more than p of the random tokens", ("rule", "p", *names), densities),
        Table(
            "Over τ and p: above τ on more than p of the random tokens (τ is 0 for latents that are silent on the text;"
            f" mean number of them: {silent})",
            ("τ", "p", *names),
            over,
        ),
    ]


def _foreign(summary: FakesSummary, names: Sequence[str]) -> list[Table]:
    """What fires strongly on one text and hardly on another, and its verdicts; none where no SAE's own text is there."""
    found, sizes = summary.get("foreign"), summary["sizes"]
    known = [name for name in names if found and name in found["woken"]]
    if found is None or not known:
        return []

    def rows(title: str, by_corpus: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
        texts = dict.fromkeys(text for of in by_corpus.values() for text in of)
        return [(title, text, *(cell(by_corpus[name].get(text)) for name in known)) for text in texts]

    strong = f"above {sizes['foreign_share']:g} of a latent's {sizes['foreign_quantile']:.1%} quantile on its own text"
    of = summary["corpora"]
    plain = (("strong_own", "its own text"), ("l0_ratio_noise", NOISE), ("l0_ratio_text", "the others' text"))
    shares = [
        *rows("foreign to", found["foreign"]),
        *rows("woken by", found["woken"]),
        *(
            (metric, text, *(cell(of[name].get(metric)) for name in known))
            for metric, text in plain
            if any(metric in of[name] for name in known)
        ),
    ]
    over_p = [
        ("foreign to", f"{float(p):.1%}", *(cell(found["sweep_foreign"].get(name, {}).get(p)) for name in known))
        for p in next(iter(found["sweep_foreign"].values()), {})
    ]
    return [
        Table(
            f"Latents that fire strongly, as a share of all ({strong}): foreign to a text where they do on more than 1 % of"
            " their own text and less than 0.1 % of that one, woken by it the other way round",
            ("what", "text", *known),
            shares,
        ),
        Table(
            "Over p: strong on more than p of their own text and less than p/10 of the others'",
            ("rule", "p", *known),
            over_p,
        ),
        *contrast_tables(found),
    ]


def _errors(value: Any) -> str:
    if value is None or value.get("error_drawn") is None:
        return NONE
    return f"{value['error_seeds']:.4f} + {value['error_drawn']:.4f}"
