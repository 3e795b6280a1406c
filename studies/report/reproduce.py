"""What the report says of making the run again: sizes, settings, versions, commands, seconds."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path, PurePath
from typing import Any

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.version import __version__
from faithful.options.line import command_line, folded
from faithful.store.corpus import Manifest
from generation.cards.made_by import made_by
from generation.configs.derive import MixConfig
from generation.configs.generate import GenerateConfig
from generation.writing.identity import sampling_of
from studies.catalog import KNOWN
from studies.common.study import HOW
from studies.common.tables import Table
from studies.corpora.config import CorporaConfig
from studies.report.config import ReportConfig, RunConfig
from studies.report.found import CorpusFound, RunFound, StudyFound
from studies.report.parts import model_line, words

INSIDE = ("corpora", "saes")
NO_SIZES = {"saes", "out", "folders", "corpora", "model", "own", "device", "dtype", "load", "seed", *HOW}


def sizes_table(run: RunFound) -> Table:
    """Every size that decides how much the figures can say, and what it is where nobody states it."""
    rows: list[tuple[str, ...]] = [
        ("training", "stored tokens per corpus", _sizes(sae.identity.get("tokens") for sae in run.saes), ""),
        ("training", "activations per step", _sizes(sae.identity.get("batch") for sae in run.saes), ""),
        ("training", "held-out tokens of the evaluation", _sizes(sae.evaluation.get("tokens") for sae in run.saes), ""),
    ]
    for name, study in run.studies.items():
        said = dict(study.summary)
        found = study.summary.get("sizes", {}) | {
            key: said[key] for key in ("tokens_scored", "diversity_tokens") if key in said
        }
        rows += [(name, words(str(key)), _shown(value), "") for key, value in found.items()]
        rows += [
            (name, f"stated: {words(key)}", _shown(value), _default(study, key, default))
            for key, (value, default) in _stated(study).items()
            if key not in NO_SIZES
        ]
    return Table("Sizes of this run", ("step", "size", "value", "if not stated"), [row for row in rows if row[2]])


def provenance_table(run: RunFound) -> Table:
    """Versions, revisions and hashes, and every setting that decides the SAEs' weights."""
    from faithful.training.card import SETTINGS

    rows: list[tuple[str, ...]] = [("report", "faithful", __version__)]
    rows += [] if run.of_truths else [("model", "name, revision", model_line(run))]
    for corpus in run.corpora:
        identity = corpus.manifest.identity
        rows.append((f"corpus {corpus.name}", "identity, SHA-256", digest(identity)))
        engine = identity.get("engine")
        if engine:
            versions = ", ".join(f"{name} {version}" for name, version in engine["versions"].items())
            rows.append((f"corpus {corpus.name}", "engine", f"{engine['name']} on {engine['device']} ({versions})"))
    named = (("d_sae", "latents"), ("k", "active latents per token"), ("init_seed", "init seeds"), *SETTINGS)
    for key, label in named:
        stated = (dict(sae.identity).get(key) for sae in run.saes)
        values = dict.fromkeys(_exact(value) for value in stated if value is not None)
        rows += [("SAEs", label, ", ".join(values))] if values else []
    for label, key in (("faithful", "version"), ("torch", "torch"), ("device", "device"), ("threads", "threads")):
        values = dict.fromkeys(str(dict(sae.record)[key]) for sae in run.saes if key in sae.record)
        rows += [("SAEs", label, ", ".join(values))] if values else []
    rows += [
        (f"study {name}", "seed", str(study.summary["seed"]))
        for name, study in run.studies.items()
        if "seed" in study.summary
    ]
    return Table("What it was made with", ("of", "what", "value"), rows)


def commands(run: RunFound) -> str:
    """The recipe's command, and those that make the run again step by step, in an order in which they can be typed; none
    that trains where SAEs are from elsewhere or of several models."""
    home = Path("runs") / run.name
    lines = [_makes(corpus, run, home / "corpora") for corpus in _inputs_first(run.corpora)]
    if run.saes and len({sae.identity.get("model") for sae in run.saes}) == 1:
        from faithful.training.card import model_facts, trained_by

        facts = model_facts(run.saes, {corpus.name: corpus.manifest for corpus in run.corpora})
        trained = trained_by(run.saes, facts)
        if trained is not None:
            corpora = tuple(home / "corpora" / corpus for corpus in trained.corpora)
            # Its name may be none that can be loaded; corpora that were made for it say where it is.
            made_for = {corpus.name: corpus.manifest.identity["model"].get("revision") for corpus in run.corpora}
            says = all(made_for.get(one.name) == facts["revision"] for one in trained.corpora)
            lines.append("# The number of held-out tokens to evaluate on is the default: what it was stands above.")
            lines.append(
                folded(replace(trained, corpora=corpora, model=None if says else trained.model, out=home / "saes"))
            )
    lines += [study_command(study, run.name) for study in run.studies.values() if study.record]
    lines.append(command_line(ReportConfig, run=run.name))
    if run.recipe is not None:
        lines = [command_line(RunConfig, recipe="recipe.toml", run=run.name), "", "# which is, step by step:", *lines]
    return "\n".join(lines)


def study_command(study: StudyFound, run: str) -> str:
    """`faithful study …` with all that a study of ours was told; what is a default, and the SAEs of the run, are left out."""
    config = KNOWN[study.of].config
    stated = {key: value for key, (value, _) in _stated(study).items() if key != "out"}
    homes = {run, PurePath(study.settings.get("out", "")).parent.parent.name}  # a run may have been renamed since
    for key in {"saes", "folders", "corpora"} & stated.keys():
        stated[key] = [_place(place, run, homes) for place in stated[key]]
    if config is CorporaConfig and "own" in stated:
        stated["own"] = _place(stated["own"], run, homes)
    if study.name != study.of:
        stated["out"] = f"runs/{run}/studies/{study.name}"
    stated["saes"] = [place for place in stated.get("saes", ()) if place != f"runs/{run}/saes"] or None
    return command_line(config, **stated, run=run)


def _makes(corpus: CorpusFound, run: RunFound, home: Path) -> str:
    """The command that makes a corpus of the run again, from the run's own where it is made of such; what cannot be told
    from the manifest of an older or later version is said to be so."""
    try:
        config: Any = replace(made_by(corpus.manifest), out=home / corpus.name)
        inputs = corpus.manifest.identity.get("derivation", {}).get("inputs", ())
    except (FaithfulError, KeyError, TypeError):
        return f"# corpus {corpus.name}: made otherwise, or its command was not recorded"
    places = {name: home / name for name in _made_of(corpus, run.corpora)}
    if isinstance(config, MixConfig):
        config = replace(config, folders=tuple(places.get(one["name"], Path(one["name"])) for one in inputs))
    elif inputs:
        config = replace(config, folder=places.get(inputs[0]["name"], config.folder))
    if getattr(config, "like", None):
        config = replace(config, like=places.get(config.like.name, config.like))
    if isinstance(config, GenerateConfig):
        config = replace(config, certify_tokens=_certified(corpus.manifest, str(config.device)))
    return folded(config)


def _certified(manifest: Manifest, device: str) -> int | None:
    """What a sampled corpus' certificate was asked to score, about; None where that is the default."""
    from generation.certificate.certify import DEFAULT_TOKENS

    if sampling_of(manifest).deterministic:
        return None
    if manifest.certificate is None:
        return 0
    scored, total, usual = manifest.certificate["tokens_scored"], manifest.tokens(), DEFAULT_TOKENS[device]
    part = manifest.certificate.get("part", "")  # in words
    is_usual = scored == total if total <= usual else part.startswith(f"{usual / total:.3g} of ")
    return None if is_usual else scored


def _made_of(corpus: CorpusFound, others: Sequence[CorpusFound]) -> list[str]:
    """Names of those corpora that one was made of or like: the very ones, and not others that are called the same."""
    derivation = corpus.manifest.identity.get("derivation") or {}
    read = [*derivation.get("inputs", ()), *([derivation["like"]] if derivation.get("like") else [])]
    known = {(one.get("name"), one.get("identity_sha256")) for one in read}
    return [one.name for one in others if (one.name, digest(one.manifest.identity)) in known]


def _inputs_first(corpora: Sequence[CorpusFound]) -> list[CorpusFound]:
    """Corpora by name, but what one is made of before it."""
    left, order = list(corpora), list[CorpusFound]()
    while left:
        names = {one.name for one in left}
        ready = [one for one in left if not names.intersection(_made_of(one, corpora))]
        order += ready
        left = [one for one in left if one not in ready]
    return order


def steps_table(run: RunFound) -> Table:
    """Seconds of each step of the recipe."""
    rows: list[tuple[str, ...]] = [(name, f"{seconds:,.1f}") for name, seconds in run.steps.items()]
    rows += [("all", f"{sum(run.steps.values()):,.1f}")] if rows else []
    return Table("Seconds per step", ("step", "seconds"), rows)


def _stated(study: StudyFound) -> dict[str, tuple[Any, Any]]:
    """What a study was told that is no default, and the default."""
    found: dict[str, tuple[Any, Any]] = {}
    for field in fields(study.record.config) if study.record else ():
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        value = study.settings.get(field.name)
        if value is not None and value != default:
            found[field.name] = value, default
    return found


def _default(study: StudyFound, key: str, default: Any) -> str:
    """What a setting is where it is not stated."""
    size = KNOWN[study.of].sizes.get(key)
    if default is not None or size is None:
        return _shown(default)
    context = (study.summary.get("sizes") or {}).get("context", 0)
    return f"{size('cpu', context):,} on a CPU, {size('cuda', context):,} on a GPU"


def _place(place: str, run: str, homes: Collection[str]) -> str:
    """A place inside the run as one below `runs/`, wherever the run lies; of other places on a disk the last name.

    Args:
        place: as a study was told.
        run: what the run is called.
        homes: all that its folder was ever called, as far as it is known.
    """
    parts = PurePath(place).parts
    for at, part in enumerate(parts):
        if part in INSIDE and (at == 0 or parts[at - 1] in homes):
            return "/".join(("runs", run, *parts[at:]))
    return parts[-1] if PurePath(place).is_absolute() else place


def _sizes(values: Iterable[Any]) -> str:
    return ", ".join(f"{value:,}" for value in dict.fromkeys(values) if value is not None)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return " · ".join(f"{key} {_shown(one)}" for key, one in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_shown(one) for one in value)
    if isinstance(value, bool) or value is None:
        return "–" if value is None else "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def _exact(value: Any) -> str:
    """A setting with every digit that decides it."""
    return repr(value) if isinstance(value, float) else _shown(value)
