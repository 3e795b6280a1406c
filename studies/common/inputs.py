"""What a study over SAEs works with: the SAEs, the model and hook they read, and the corpora that make its panel."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from faithful.base.devices import check_device
from faithful.base.errors import FaithfulError
from faithful.base.quantities import check_stated
from faithful.executor.where import refuse_unsharded, share_of
from faithful.hooks.hook import KINDS, MODULE, Hook
from faithful.hooks.truncated import TruncatedModel
from faithful.models.load import load_model, shape_of
from faithful.models.presets import find_preset
from faithful.models.spec import ModelSpec, check_context, check_dtype, in_words, is_source, resolve_model, with_load
from faithful.models.tokenizer import load_tokenizer
from faithful.options.line import command_line
from faithful.store.corpora_of_saes import bos_of, loaded_otherwise, trained_corpora
from faithful.store.corpus import MANIFEST, Corpus
from faithful.store.places import corpora_in, saes_in
from faithful.store.saes import TrainedSae, find_saes
from generation.certificate.reference import is_reference
from generation.configs.add import AddConfig
from generation.writing.identity import spec_of
from studies.common.config import PanelConfig, StudyConfig
from studies.common.results import Summary
from studies.statistics.headlines import Headline
from studies.statistics.sentences import too_few

WHOLE_PANEL, RANDOM_TOKENS = "panel", "random tokens"
"""What stands among the parts of the panel for all of it, and for what is no text: no corpus of a panel is called so."""
PUBLISHERS = {"gpt2": "openai-community", "pythia": "EleutherAI", "gemma": "google"}


@dataclass(frozen=True)
class StudyInput:
    """What a `StudyConfig` names, found: SAEs, their model and hook, the corpora of the panel.

    Attributes:
        saes: by corpus, shape and seed.
        spec: the model that reads the text.
        hook: where the SAEs take their activations.
        corpora: folder of each corpus of the panel, by name; may be empty.
        own: name of the own corpus among the SAEs' and the panel's; None where there is none.
        context, layout: of the panel's contexts.
        device: of the model.
        panel_seed: draws the panel's documents; None takes the first ones.
        missing_corpora: those that SAEs were trained on and that are no longer where they were: not in the panel.
        controls: corpora of the panel made of the own one alone, by name: the corpus whose lengths such a part has, the own
            one where its documents were shuffled.
        of_own: corpora of the panel that hold text of the own one: itself, and what was made of it, alone or with others.
        loads: what to say of SAEs and corpora that are of the model quantised otherwise than it reads the text.
    """

    saes: tuple[TrainedSae, ...]
    spec: ModelSpec
    hook: Hook
    corpora: dict[str, Path]
    own: str | None
    context: int
    layout: str
    device: str
    panel_seed: int | None = None
    missing_corpora: tuple[str, ...] = ()
    controls: dict[str, str] = field(default_factory=dict)
    of_own: frozenset[str] = frozenset()
    loads: tuple[str, ...] = ()

    @cached_property
    def model(self) -> Any:
        """The whole causal LM on its device, loaded once."""
        return load_model(self.spec, self.device)

    @cached_property
    def truncated(self) -> TruncatedModel:
        """The same up to the hook."""
        return TruncatedModel(self.model, self.hook)

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return load_tokenizer(self.spec.files, self.spec.hub_revision())

    def __getstate__(self) -> object:
        """To be pickled: without what is loaded, which whoever unpickles it loads again."""
        return {name: value for name, value in vars(self).items() if name not in ("model", "truncated", "tokenizer")}

    def heading(self, study: str, seed: int) -> Summary:
        """What summary.json of every study begins with."""
        return {
            "study": study,
            "model": {"name": self.spec.name, "revision": self.spec.revision, "dtype": self.spec.precision},
            "hook": self.hook.name,
            "own": self.own,
            "controls": self.controls,
            "missing_corpora": list(self.missing_corpora),
            "seed": seed,
            **({"loads": list(self.loads)} if self.loads else {}),
        }

    def leaves_open(self, headline: Headline, reach: float, wanted: str) -> str | None:
        """What to say before the work; None where nothing is compared, or the margin can be resolved.

        No number of seeds makes up for too little text. The estimates are rough: their constants were measured on `tiny`
        with SAEs of like corpora, where a margin matters (the standard errors of contrasts that say `± drawn`).

        Args:
            headline: what the verdict is about.
            reach: half the 95 % interval that what is drawn leaves open.
            wanted: the options that would resolve the margin.
        """
        compares = self.own is not None and len({sae.corpus for sae in self.saes}) > 1
        if not compares or reach <= headline.margin:
            return None
        return (
            f"Before the work: by a rough estimate {too_few(headline, reach)}, so that small differences will end as 'cannot"
            f" tell'; {wanted} would do."
        )

    @property
    def matched(self) -> tuple[str, ...]:
        """Parts of the panel that are text of the own corpus."""
        return tuple(name for name in self.corpora if name == self.own)

    @property
    def foreign(self) -> tuple[str, ...]:
        """Parts of the panel without any text of the own corpus: a mix or a control of it is neither matched nor foreign."""
        return tuple(name for name in self.corpora if self.own is not None and name not in self.of_own)

    @property
    def names(self) -> list[str]:
        """Corpora that the SAEs were trained on, own first."""
        return sorted({sae.corpus for sae in self.saes}, key=lambda name: (name != self.own, name))


def resolve_input(config: StudyConfig) -> StudyInput:
    """Find the SAEs, their model, their hook and the panel's corpora.

    Raises:
        FaithfulError: a device that is not there, no SAEs, several models or hooks, a model that is not known, not the
            SAEs' or of another width, two corpora of one name, one that cannot be called so, a corpus of another tokenizer, a
            context that does not fit the model.
    """
    check_stated(config)
    device = check_device(config.device)
    panel_seed, layout = (config.panel_seed, config.layout) if isinstance(config, PanelConfig) else (None, None)
    if config.workers is not None and config.workers < 1:
        raise FaithfulError("--workers is at least 1.")
    share_of(device, config.workers)
    if config.shard_model:
        refuse_unsharded(device, config.workers)
    config = _without_runs(config)
    saes = find_saes(config.saes)
    corpora, missing = _corpora(config, saes)
    spec = replace(_model(config, saes, corpora, device), sharded=config.shard_model)
    for corpus in corpora.values():
        made_for = corpus.manifest.identity["model"]
        if made_for["tokenizer_sha256"] != spec.tokenizer_sha256:
            raise FaithfulError(
                f"{corpus.folder} was tokenised for {made_for['name']}, whose tokenizer differs from {spec.name}'s;"
                f" add it again with `{command_line(AddConfig, name='SOURCE', model=spec.asked)}`."
            )
    _refuse_other_models(config, saes, spec)
    _refuse_widths(saes, spec)
    hook, model = _hook(saes, spec, device)
    trained = [sae.record["identity"] for sae in saes if sae.record]
    stated = [one["context"] for one in trained] + [sae.context for sae in saes if sae.context]
    context = config.context or next(iter(stated), None) or spec.default_context
    check_context(context, spec.name, spec.positions)
    own = _own(config, saes, corpora, spec)
    found = StudyInput(
        saes=tuple(saes),
        spec=spec,
        hook=hook,
        corpora={name: corpus.folder for name, corpus in corpora.items()},
        own=own,
        context=context,
        layout=layout or next((one["layout"] for one in trained), "aligned"),
        device=device,
        panel_seed=panel_seed,
        missing_corpora=missing,
        controls=_controls(corpora, own),
        of_own=frozenset(
            name
            for name, corpus in corpora.items()
            if own is not None and own in _made_of(name, corpus.manifest.identity, corpus.manifest.provenance)
        ),
        loads=_loads(saes, corpora, spec),
    )
    if model is not None:
        found.__dict__["model"] = model
    return found


def _without_runs(config: StudyConfig) -> StudyConfig:
    """The config with each run that it names replaced by the run's SAEs or corpora."""
    saes = tuple(saes_in(Path(one)) if Path(one).is_dir() else one for one in config.saes)
    corpora = tuple(corpora_in(*map(Path, config.corpora)))
    return replace(config, saes=saes, corpora=corpora)


def model_called(name: str) -> str:
    """What loads a model that an SAE calls as TransformerLens does: `gpt2-small`, `pythia-70m-deduped`, `gemma-2b`."""
    preset = find_preset("gpt2" if name == "gpt2-small" else name)
    if preset:
        return preset.name
    publisher = PUBLISHERS.get(name.split("-")[0])
    return name if publisher is None or "/" in name or Path(name).is_dir() else f"{publisher}/{name}"


def _corpora(config: StudyConfig, saes: Sequence[TrainedSae]) -> tuple[dict[str, Corpus], tuple[str, ...]]:
    """Corpora of the panel, and the names of those that would be in it if they were still there."""
    folders, missing = list(config.corpora), []
    if not folders:
        known: dict[str, Path] = {}
        for source in config.saes:
            known |= trained_corpora(Path(source))
        for name in sorted({sae.corpus for sae in saes}):
            if name in known and (known[name] / MANIFEST).exists():
                folders.append(known[name])
            elif name in known or any(sae.record for sae in saes if sae.corpus == name):
                missing.append(name)
    corpora: dict[str, Corpus] = {}
    for corpus in map(Corpus, folders):
        if corpus.name in (WHOLE_PANEL, RANDOM_TOKENS):
            raise FaithfulError(
                f"Studies call something else '{corpus.name}'; give the folder {corpus.folder} another name."
            )
        if corpus.name in corpora:
            raise FaithfulError(
                f"Two corpora are named {corpus.name}; a corpus' name is its folder's name, so rename one."
            )
        corpora[corpus.name] = corpus
    return corpora, tuple(missing)


def _controls(corpora: dict[str, Corpus], own: str | None) -> dict[str, str]:
    """Parts of the own corpus with another one's lengths, and the own corpus shuffled."""
    found = {}
    for name, corpus in corpora.items():
        made = corpus.manifest.identity.get("derivation") or {}
        if own is not None and [one["name"] for one in made.get("inputs", ())] == [own]:
            if "like" in made:
                found[name] = str(made["like"]["name"])
            elif made["operation"] == "shuffle":
                found[name] = own
    return found


def _made_of(name: str, identity: Mapping[str, Any], provenance: Mapping[str, Any]) -> Iterator[str]:
    """Names of the corpora that a corpus holds text of, whatever lies between: itself, and what it was made of."""
    yield re.sub(r"#\d+$", "", name)  # the second input of a name is recorded as NAME#2
    inside = {part["name"]: part for part in provenance.get("inputs", ())}
    for one in identity.get("derivation", {}).get("inputs", ()):
        part = inside.get(one["name"], {})
        yield from _made_of(one["name"], part.get("identity", {}), part.get("provenance", {}))


def _model(config: StudyConfig, saes: Sequence[TrainedSae], corpora: dict[str, Corpus], device: str) -> ModelSpec:
    """The model named, else that of the corpora (first of those of the SAEs' revision, of these the own one's), else that of
    the SAEs; of the BOS of the corpora.

    A model that is named is taken in the revision that the SAEs were made with, where they say so. It is loaded as it was for
    the first SAE that says so; SAEs from elsewhere are taken to be of the model as it is, whatever the corpora are of.
    """
    trained = [sae.record["identity"] for sae in saes if sae.record]
    bos = bos_of(corpora.values())
    if bos is None:
        bos = next((one["bos_id"] for one in trained if "bos_id" in one), None)
    load = config.load or next((one.get("load") or "full" for one in trained), "full")
    made = {(model_called(one["model"]), one["revision"]) for one in trained if "revision" in one}
    revisions = {revision for _, revision in made}
    manifests = sorted(
        (corpus.manifest for corpus in corpora.values()),
        key=lambda found: (found.identity["model"]["revision"] not in revisions, found.kind != "own"),
    )
    if manifests:
        spec = spec_of(manifests[0])
        is_theirs = revisions <= {spec.revision}
        if config.model is None or (_is_called(config.model, spec) and is_theirs):
            dtype = config.dtype or next((one["dtype"] for one in trained), spec.dtype)
            spec = replace(spec, dtype=check_dtype(dtype), bos_id=spec.bos_id if bos is None else bos)
            return with_load(spec, load)
    names = [model_called(config.model)] if config.model else sorted({model_called(sae.model) for sae in saes})
    if len(names) != 1 or not names[0]:
        what = f"name {', '.join(names)}" if any(names) else "name no model"
        raise FaithfulError(f"The SAEs {what}; say which model reads the text with --model.")
    commits = [commit for name, commit in made if name == names[0] and not commit.startswith("sha256:")]
    revision = commits[0] if len(commits) == 1 else None
    return resolve_model(names[0], revision=revision, dtype=config.dtype, bos=bos, device=device, load=load)


def _is_called(model: str, spec: ModelSpec) -> bool:
    """Whether a preset's name, a Hub id or a folder stands for a model."""
    preset = find_preset(model)
    if preset:
        return preset.name == spec.name
    return is_source(model, spec.source)


def _refuse_other_models(config: StudyConfig, saes: Sequence[TrainedSae], spec: ModelSpec) -> None:
    """Refuse SAEs of another model: by the revision where `faithful train` recorded it; else by the name, where this one and
    the SAE's are known, unless the model was named."""
    reads = _known(spec.source)
    for sae in saes:
        made = sae.record.get("identity", {})
        if "revision" in made:
            is_other, name = made["revision"] != spec.revision, f"{made['model']} ({made['revision'][:19]})"
        else:
            name = _known(sae.model) or ""
            is_other = bool(name and reads and name != reads and not config.model)
        if is_other:
            raise FaithfulError(
                f"{sae.source} is of {name} and {spec.name} ({spec.revision[:19]}) would read the text; name SAEs of"
                f" {spec.name}, or with --model and --corpus the model and the corpora that they are of."
            )
        if "revision" in made and made.get("load") != spec.load and not config.load:
            raise FaithfulError(
                f"The SAEs are of {spec.name} loaded in different ways ({sae.source} in {made.get('load') or 'full'}); name"
                " SAEs of one, or say with --load what reads the text."
            )


def _known(model: str) -> str | None:
    """A model's one name where it is a preset or of a publisher whose models are called alike everywhere, else None."""
    publisher, _, name = model_called(model).rpartition("/")
    preset = find_preset(model_called(model))
    return preset.name if preset else name.lower() if publisher in PUBLISHERS.values() else None


def _hook(saes: Sequence[TrainedSae], spec: ModelSpec, device: str) -> tuple[Hook, Any]:
    """The one hook of all SAEs, and the model where it had to be loaded to tell."""
    unknown = [sae for sae in saes if sae.hook is None]
    if unknown:
        what = f"reads '{unknown[0].hook_name}'" if unknown[0].hook_name else "does not say what it reads"
        raise FaithfulError(
            f"{unknown[0].source} {what}; studies read {', '.join(KINDS)} of a layer, and outputs of its modules: name other"
            " SAEs."
        )
    hooks = sorted(
        {sae.hook for sae in saes if sae.hook is not None}, key=lambda hook: (hook.kind == MODULE, hook.name)
    )
    if len(hooks) == 1:
        return hooks[0], None
    # A module's output is what is added to the stream in some families; there attn_out and layers.N.self_attn are one place.
    if MODULE in {hook.kind for hook in hooks} and len({(hook.layer, hook.centred, hook.bos) for hook in hooks}) == 1:
        model = load_model(spec, device)
        if len({hook.place(model) for hook in hooks}) == 1:
            return hooks[0], model
    raise FaithfulError(
        f"The SAEs read different things ({', '.join(hook.name for hook in hooks)}), whose features cannot be compared; name"
        " the SAEs of one."
    )


def _refuse_widths(saes: Sequence[TrainedSae], spec: ModelSpec) -> None:
    width = shape_of(spec).d_model
    for sae in saes:
        if sae.d_in != width:
            raise FaithfulError(
                f"{sae.source} reads activations of {sae.d_in:,} dimensions and {spec.name} has {width:,}; name SAEs of"
                f" {spec.name}, or with --model the one that they are of."
            )


def _loads(saes: Sequence[TrainedSae], corpora: dict[str, Corpus], spec: ModelSpec) -> tuple[str, ...]:
    """A sentence for each corpus, and one for SAEs, of the model quantised otherwise than it reads the text."""
    trained = {one.get("load") for one in (sae.record.get("identity") for sae in saes) if one}
    others = " and ".join(sorted(in_words(load) for load in trained - {spec.load}))
    here = f"{spec.name} {in_words(spec.load)}"
    of_saes = f"SAEs were trained on {spec.name} {others}, and {here} reads the text: to them another model."
    found = [loaded_otherwise(corpus, spec) for corpus in corpora.values()]
    return (*filter(None, found), *((of_saes,) if others else ()))


def _own(config: StudyConfig, saes: Sequence[TrainedSae], corpora: dict[str, Corpus], spec: ModelSpec) -> str | None:
    """The model's own T 1 corpus: as named, else among the panel's corpora, else the one called `own`, which may be gone or
    made of it, but no samples of another model or with other settings."""
    names = {sae.corpus for sae in saes}
    if config.own:
        if config.own not in names:
            raise FaithfulError(f"No SAE was trained on '{config.own}'; the corpora are {', '.join(sorted(names))}.")
        return config.own
    for name, corpus in corpora.items():
        if name in names and is_reference(corpus.manifest, spec):
            return name
    called = corpora.get("own")
    is_another = called is not None and (called.manifest.kind == "own" or loaded_otherwise(called, spec))
    return "own" if "own" in names and not is_another else None
