"""The first author's draft results, shipped with the package, to stand beside a study where model and setting agree."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from faithful.models.presets import called
from studies.common.tables import Table
from studies.statistics.numbers import NONE, listed

FILE = "faithfulsae_notes.json"
MODELS = {"gpt2-small": "gpt2"}
CORPORA = {"fineweb": "fineweb", "pile-uncopyrighted": "pile", "FLAN": "flan"}
TASKS = {"stanfordnlp/sst2": "sst2", "nyu-mll/glue/cola": "cola", "ag_news": "ag_news", "yelp_polarity": "yelp"}
RULES = ("fake_contrast", "fake_notes", "fake_code")
DENSITY = re.compile(r"fake_density_[\d.]+")
INPUTS = (("baseline", "h"), ("sae", "f"), ("recon", "ĥ"))
SCORES = {"accuracy": "acc", "macro_f1": "f1"}


@dataclass(frozen=True)
class DraftRun:
    """One run of the notes.

    Attributes:
        model: preset name.
        corpus: as the notes call it.
        own: whether it is the model's own text.
        shape: hook, width and k, `resid_pre.8-f12288-k16`.
        lr, context, steps, seeds: of its SAEs; the notes do not say how many tokens a step had.
        fake_counts: fake features of each seed; () where there are none.
        fake_ratio: their mean share of the latents.
        scores: by task, score (`accuracy`, `macro_f1`) and input (`h`, `f`, `ĥ`), means over the seeds.
    """

    model: str
    corpus: str
    own: bool
    shape: str
    lr: float
    context: int
    steps: int
    seeds: tuple[int, ...]
    fake_counts: tuple[int, ...]
    fake_ratio: float | None
    scores: dict[str, dict[str, dict[str, float]]]


@cache
def draft_source() -> str:
    """Where the notes come from and what they are not, in their own words."""
    return str(_notes()["source"])


@cache
def draft_runs() -> tuple[DraftRun, ...]:
    """All runs of the notes."""
    return tuple(_run(values) for values in _notes()["runs"])


def drafts_like(model: str, shape: str) -> list[DraftRun]:
    """The draft runs of a model at a hook, width and k.

    Args:
        model: preset name or Hub id.
        shape: `resid_pre.8-f12288-k16`.
    """
    return [run for run in draft_runs() if (run.model, run.shape) == (called(model), shape)]


def reference_tables(
    study: str, summary: Mapping[str, Any], trained: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[Table]:
    """Draft figures beside a study's, one table per shape that agrees; none where nothing does.

    Its title says how both were trained, and in what that differs.

    Args:
        study: `fakes` or `probes`; the notes hold nothing for the others.
        summary: its summary.json.
        trained: `lr`, `context`, `tokens`, `steps` and `init_seed` of our SAEs by shape, as far as they are recorded.
    """
    if study not in ("fakes", "probes"):
        return []
    shapes = summary.get("shapes") or {summary["shape"]: summary}
    tables = []
    for shape, found in shapes.items():
        drafts = drafts_like(summary["model"]["name"], shape)
        if drafts:
            own = summary.get("own")
            if study == "fakes":
                header, rows = _fake_rows(drafts, found["corpora"], own)
            else:
                header, rows = _probe_rows(drafts, found["by_task"], summary["tasks"], own)
            title = f"Author's draft beside ours, {shape} ({_settings(drafts[0], trained.get(shape, ()))})"
            tables += [Table(title, header, rows)] if rows else []
    return tables


def _fake_rows(
    drafts: list[DraftRun], corpora: Mapping[str, Any], own: str | None
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    known = next(iter(corpora.values()))
    metrics = [name for name in known if name in RULES or DENSITY.fullmatch(name)]
    rows = []
    for draft in drafts:
        if not draft.fake_counts:
            continue
        ours = corpora.get(_corpus(draft, own), {})
        counts = ", ".join(map(str, draft.fake_counts))
        rows.append((draft.corpus, counts, f"{draft.fake_ratio:.3%}", *(_share(ours.get(name)) for name in metrics)))
    return ("corpus in the draft", "draft count", "draft share", *(f"our {name}" for name in metrics)), rows


def _probe_rows(
    drafts: list[DraftRun], by_task: Mapping[str, Any], tasks: Mapping[str, Any], own: str | None
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = []
    for draft in drafts:
        for task, scores in draft.scores.items():
            ours = by_task.get(task, {}).get(_corpus(draft, own))
            for score, drafted in scores.items():
                of_sae = [ours[kind][score][-1] if ours else None for kind in ("f", "h_hat")]
                baseline = tasks[task]["baseline"][score] if task in tasks else None
                figures = (*(drafted[kind] for _, kind in INPUTS), baseline, *of_sae)
                rows.append(
                    (draft.corpus, task, score.replace("_f1", "-F1"), *(_share(figure, 1) for figure in figures))
                )
    header = ("corpus in the draft", "task", "score", *(f"draft {kind}" for _, kind in INPUTS))
    return (*header, *(f"our {kind}" for _, kind in INPUTS)), rows


def _settings(draft: DraftRun, saes: Sequence[Mapping[str, Any]]) -> str:
    """How the draft's SAEs and ours were trained, and in which of what both state they differ."""
    names = ("lr", "context", "tokens", "steps", "init_seed")
    ours = {name: list(dict.fromkeys(sae[name] for sae in saes if sae.get(name) is not None)) for name in names}
    said = {
        name: _and(f"{value:g}" if name == "lr" else f"{value:,}" for value in values) for name, values in ours.items()
    }
    told = f"draft: lr {draft.lr:g}, context {draft.context}, {draft.steps:,} steps, seeds {_and(draft.seeds)}; ours: "
    if not any(ours.values()):
        return told + "not recorded"
    told += (
        f"lr {said['lr']}, context {said['context']}, {said['tokens']} tokens in {said['steps']} steps,"
        f" seeds {said['init_seed']}"
    )
    agrees = {
        "lr": all(math.isclose(lr, draft.lr, rel_tol=1e-6) for lr in ours["lr"]),
        "context": ours["context"] in ([draft.context], []),
        "steps": ours["steps"] in ([draft.steps], []),
    }
    differs = [name for name, same in agrees.items() if not same]
    return told + (f"; differs in {_and(differs)}" if differs else "")


def _and(parts: Iterable[Any]) -> str:
    return listed([*map(str, parts)] or ["not recorded"])


def _corpus(draft: DraftRun, own: str | None) -> str:
    """Our name of a draft run's corpus, '' where we have none."""
    return (own if draft.own else CORPORA.get(draft.corpus)) or ""


def _share(figure: Any, decimals: int = 3) -> str:
    value = figure["value"] if isinstance(figure, Mapping) else figure
    return NONE if value is None else f"{value:.{decimals}%}"


def _run(values: Mapping[str, Any]) -> DraftRun:
    layer, kind = values["hook_point"].split(".")[1], values["hook_point"].rpartition("hook_")[2]
    fakes, probes = values["fake_features"] or {}, values["probing"] or {}
    name = values["model"].lower()
    return DraftRun(
        model=MODELS.get(name, name),
        corpus=values["corpus"],
        own=values["own_corpus"],
        shape=f"{kind}.{layer}-f{values['d_sae']}-k{values['k']}",
        lr=values["lr"],
        context=values["context_length"],
        steps=values["final_step_index"],
        seeds=tuple(values["seeds"]),
        fake_counts=tuple(fakes[name] for name in ("fake_feature_count1", "fake_feature_count2") if name in fakes),
        fake_ratio=fakes.get("avg_fake_feature_ratio"),
        scores={
            TASKS[task]: {
                score: {kind: found[f"{key}_{ending}"] for key, kind in INPUTS} for score, ending in SCORES.items()
            }
            for task, found in probes.items()
        },
    )


@cache
def _notes() -> dict[str, Any]:
    return dict(json.loads((resources.files("studies.report") / FILE).read_text(encoding="utf-8")))
