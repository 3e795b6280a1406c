"""What a wish to add a comparison corpus comes down to: folder, manifest, model and source, checked before work starts."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from faithful.base.devices import default_device
from faithful.base.errors import FaithfulError
from faithful.base.files import sha256_file
from faithful.models.spec import ModelSpec, resolve_model
from faithful.options.fields import names_in
from faithful.store.corpus import Manifest, read_manifest
from faithful.store.manifest_parts import Identity, Kind, Option, Provenance, Reading
from faithful.store.places import as_folder, corpora_of, current_run, run_folder, run_name
from generation.configs.add import READING, AddConfig
from generation.external.declared import declared, wanted_samples
from generation.files.local_files import PACKED, builder_of
from generation.sources.held_out import TEST_SHARE
from generation.sources.resolve import find_entry, resolve_source
from generation.sources.source import Source
from generation.writing.identity import (
    FOREIGN,
    model_provenance,
    spec_of,
    tokenizer_identity,
)
from generation.writing.recorded import (
    differences,
    existing_corpus,
    model_differences,
    open_corpus,
    refuse_other_identity,
    refuse_otherwise,
)
from generation.writing.shards import SHARD_ROWS
from generation.writing.splits import WINDOW


def corpus_folder(config: AddConfig) -> Path:
    """Folder of the corpus: `--out`, else `runs/MODEL/corpora/NAME` with a seed other than 0 in the name."""
    if config.out:
        return config.out
    run = run_folder(config.run) if config.run else run_folder(run_name(model_of(config)))
    return run / "corpora" / (source_name(config.name) + (f"-s{config.seed}" if config.seed else ""))


def model_of(config: AddConfig) -> str:
    """The model whose tokens it becomes: as stated, else that of the own text of `--run` or the current run, else `tiny`."""
    own = None if config.model else _own_text(config.run)
    return config.model or (str(own.provenance["model"]["source"]) if own else "tiny")


def _own_text(run: str | None) -> Manifest | None:
    """Of a run's corpora that its model sampled the manifest of the first, `own` before others; None where none is there."""
    with suppress(FaithfulError):
        for folder in sorted(corpora_of(current_run(run)), key=lambda folder: folder.name != "own"):
            with suppress(FaithfulError):
                if (manifest := read_manifest(folder)).kind == "own":
                    return manifest
    return None


def _refuse_another_tokenizer(config: AddConfig, spec: ModelSpec) -> None:
    """Refuse text for another tokenizer than that of the run which is stated: nothing could be trained on both."""
    own = _own_text(config.run) if config.run and config.model else None
    if own and own.identity["model"]["tokenizer_sha256"] != spec.tokenizer_sha256:
        raise FaithfulError(
            f"The run {run_folder(config.run or '')} holds text of {own.identity['model']['name']}, whose tokenizer differs"
            f" from {spec.name}'s; leave --for out, or name another --run."
        )


def source_name(name: str) -> str:
    """Short name of a source, as a folder: the catalog's (`wiki` of `real:wiki`), else the last part of a path or Hub id."""
    entry = find_entry(name)
    if entry:
        return entry.name.split(":")[-1]
    path = Path(name).expanduser()
    if builder_of(path) and not path.is_dir():
        path = (path.with_suffix("") if path.suffix.lower() in PACKED else path).with_suffix("")
    return as_folder(path.resolve().name) or "corpus"


def prepare(config: AddConfig) -> tuple[Path, Manifest, ModelSpec, Source | None]:
    """Resolve everything before work starts: folder, manifest (existing or new), model and source.

    The source of an existing corpus is None where nothing stated could make it another one: the network is not asked.

    Raises:
        FaithfulError: a source or model that cannot be used, a context that does not fit, a corpus made otherwise.
    """
    for option in ("tokens", "held_out", "window", "shard_rows"):
        value = getattr(config, option)
        if value is not None and value < 1:
            raise FaithfulError(f"--{option.replace('_', '-')} must be at least 1.")
    wanted = wanted_samples(config)
    folder = corpus_folder(config)
    manifest = existing_corpus(folder)
    if manifest is not None:
        refuse_differences(config, folder, manifest)
        spec = spec_of(manifest)
        if _asks_for_the_same(config, manifest):
            return folder, manifest, spec, None
        return folder, manifest, spec, reopen(config, folder, manifest)
    device = default_device()
    spec = resolve_model(model_of(config), revision=config.model_revision, bos=config.bos, device=device)
    _refuse_another_tokenizer(config, spec)
    context = stated_context(config, spec)
    source = resolve_source(config.name, **config.reading(), samples=wanted)
    _refuse_single_text(source)
    if source.kind == "noise" and config.window:
        raise FaithfulError(f"{source.name} is drawn in order and takes no --window; leave that out.")
    identity = external_identity(
        spec,
        source,
        seed=config.seed or 0,
        context=context,
        window=config.window or WINDOW,
        shard_rows=config.shard_rows or SHARD_ROWS,
        declared=declared(config, spec, context) if wanted else None,
    )
    return folder, open_corpus(folder, _kind(config), identity, _provenance(config, spec, source)), spec, source


@dataclass(frozen=True)
class AddPlan:
    """What `add` would do.

    Attributes:
        folder: the corpus.
        manifest: its manifest as it is, as it would begin, or as it was published.
        tokens: to reach, per split; fewer where the source ends before.
        there: tokens that are here already, per split.
    """

    folder: Path
    manifest: Manifest
    tokens: dict[str, int]
    there: dict[str, int]


def _kind(config: AddConfig) -> Kind:
    return FOREIGN if wanted_samples(config) else "external"


def external_identity(
    spec: ModelSpec,
    source: Source,
    *,
    seed: int,
    context: int,
    window: int,
    shard_rows: int,
    declared: Identity | None = None,
) -> Identity:
    """Identity of a corpus that was read from a source: never times, paths or the token budget.

    That of samples holds what is declared of them.
    """
    identity: Identity = {
        "model": tokenizer_identity(spec),
        "source": source.identity(),
        "seed": seed,
        "context": context,
        "window": window,
        "shard_rows": shard_rows,
        "test_share": TEST_SHARE,
    }
    if declared:
        identity |= declared
    if source.unit == "passage":
        identity["test_by"] = "source row"
    if leaves_out_seen(source):
        with resources.as_file(resources.files("faithful.embedded") / "tiny" / "stdlib_seen.txt") as path:
            identity["left_out_sha256"] = sha256_file(path)
    return identity


def _refuse_single_text(source: Source) -> None:
    if source.kind == "files" and source.builder == "text" and source.unit == "passage" and not source.held_out:
        raise FaithfulError(
            f"{source.name} is a single text, and all passages of a text fall on one side, so nothing of it could be held"
            " out. Give a folder of several files, for example of its chapters or of equal parts: `mkdir parts; split -C"
            " 100k --additional-suffix=.txt TEXT.txt parts/`."
        )


def leaves_out_seen(source: Source) -> bool:
    """Whether passages that `tiny` was trained on are left out."""
    return source.kind == "embedded" and source.name == "stdlib"


def reopen(config: AddConfig, folder: Path, manifest: Manifest) -> Source:
    """The source of an existing corpus, at the revision it was made with, what was stated included.

    Raises:
        FaithfulError: it is another source, it has changed, or it cannot be read.
    """
    recorded = manifest.provenance["reading"]
    options = recorded["stated"] if _asked(config.name) == recorded["asked"] else {}
    as_stated = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    source = resolve_source(config.name, **(as_stated | config.reading()), samples=wanted_samples(config))
    old = manifest.identity
    said: Identity | None = {"sampling": old["sampling"], "drawn_in": old["drawn_in"]} if "sampling" in old else None
    identity = external_identity(
        spec_of(manifest),
        source,
        seed=old["seed"],
        context=old["context"],
        window=old["window"],
        shard_rows=old["shard_rows"],
        declared=said,
    )
    refuse_other_identity(folder, manifest, _kind(config), identity)
    return source


def refuse_differences(config: AddConfig, folder: Path, manifest: Manifest) -> None:
    """Compare what was stated, the source aside, with a corpus that exists.

    Raises:
        FaithfulError: they differ, or the corpus is no external one; says in what.
    """
    if manifest.kind not in ("external", FOREIGN):
        raise FaithfulError(f"{folder} is no corpus added from a source; choose another --out.")
    if manifest.kind != _kind(config):
        there = "samples of a model" if manifest.kind == FOREIGN else "texts that nobody said were sampled"
        raise FaithfulError(f"{folder} holds {there}; state the same again, or choose another --out.")
    identity = manifest.identity
    recorded = {
        "seed": identity["seed"],
        "context": identity["context"],
        "window": identity["window"],
        "shard_rows": identity["shard_rows"],
        "bos": identity["model"]["bos_id"],
        "model_revision": identity["model"]["revision"],
    }
    if manifest.kind == FOREIGN:
        recorded |= {"dtype": identity["drawn_in"]} | identity["sampling"]
    stated = {name: getattr(config, name, None) for name in recorded}
    refuse_otherwise(folder, model_differences(config.model, manifest) + differences(stated, recorded))


def stated_context(config: AddConfig, spec: ModelSpec) -> int:
    """Tokens per context, BOS included: what was stated, else the preset's, else at most 512; of samples the model's.

    Raises:
        FaithfulError: it does not fit the model.
    """
    usual = (spec.positions or spec.default_context) if wanted_samples(config) else spec.default_context
    context = usual if config.context is None else config.context
    if not 2 <= context <= (spec.positions or context):
        raise FaithfulError(
            f"--context {context} does not fit: {spec.name} has a context of {spec.positions} tokens, BOS included; use 2 to"
            f" {spec.positions}."
        )
    return context


def _provenance(config: AddConfig, spec: ModelSpec, source: Source) -> Provenance:
    stated = config.reading()
    if source.revision:
        stated["revision"] = source.revision
    resolved = {name: getattr(source, name) for name in names_in(AddConfig, READING)}
    reading: Reading = {"asked": _asked(config.name), "stated": _plain(stated), "resolved": _plain(resolved)}
    if columns := config.sample_columns():
        reading["samples"] = columns
    return {"model": model_provenance(spec), "source": source.provenance(), "reading": reading}


def is_read_from(name: str, manifest: Manifest) -> bool:
    """Whether a corpus was read from this very catalog name, place or Hub id."""
    return manifest.kind in ("external", FOREIGN) and bool(_asked(name) == manifest.provenance["reading"]["asked"])


def _asks_for_the_same(config: AddConfig, manifest: Manifest) -> bool:
    recorded = manifest.provenance["reading"]
    stated = _plain(config.reading())
    same_samples = config.sample_columns() == recorded.get("samples", {})
    return (
        same_samples
        and is_read_from(config.name, manifest)
        and all(value in (recorded["resolved"][name], recorded["stated"].get(name)) for name, value in stated.items())
    )


def _asked(name: str) -> str:
    """What a name stands for: an absolute path, the catalog's name, or a Hub id."""
    path = Path(name).expanduser()
    entry = find_entry(name)
    if entry:
        return entry.name
    return str(path.resolve()) if path.exists() or builder_of(path) else name


def _plain(options: Mapping[str, Any]) -> dict[str, Option]:
    """Options as JSON values."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
