"""`faithful export neuronpedia`: each file is the body of one request that uploads a batch of latents."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock, sha256_file, write_text
from faithful.base.progress import Progress, Reporter, silent
from faithful.base.quantities import check_stated
from faithful.base.records import read_cache, write_record
from faithful.hub.plan import Condition
from faithful.options.line import command_line
from faithful.store.corpora_of_saes import trained_corpora
from faithful.store.corpus import MANIFEST, Corpus
from faithful.store.places import corpora_in
from faithful.store.saes import TrainedSae, find_saes
from studies.browse.config import BrowseConfig
from studies.browse.reading import Pages, RunPage
from studies.browse.write import chosen
from studies.explanations.config import STUDY as EXPLANATIONS_STUDY
from studies.explanations.kept import EXPLANATIONS
from studies.runs.neuronpedia.config import ALL, EXPLAINED, MOST_LATENTS, NONE, ExportNeuronpediaConfig
from studies.runs.neuronpedia.files import SOURCE, UPLOAD, Batch, Source, SourceSet
from studies.runs.neuronpedia.records import (
    check_model_id,
    check_set_name,
    explanations,
    feature,
    hook_of,
    is_silent,
    model_id,
    set_names,
)
from studies.runs.terms import GONE, conditions_of

WORDING = 2
"""Of the records: another one makes them anew."""


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        folder: of the records.
        model: the model's id at Neuronpedia.
        sets: names of the source sets, one for each SAE.
        latents, requests, bytes: of all of them.
        silent: latents that are left out, as the text has no context of them.
        explained, withheld: of the others, those with an explanation, and those whose explanation is left out.
        conditions: how many terms must be accepted before they are sent.
        notes: what the pages show in part, or not yet.
    """

    folder: Path
    model: str
    sets: list[str]
    latents: int
    requests: int
    bytes: int
    silent: int
    explained: int
    withheld: int
    conditions: int
    notes: tuple[str, ...] = ()


def export_neuronpedia(config: ExportNeuronpediaConfig, report: Reporter = silent) -> Export:
    """Write the upload records of a run's SAEs from the pages that show them.

    Nothing is computed: contexts, fifths, effects and densities are those of `faithful browse`. In memory are the contexts
    and one batch of latents. SAEs whose records are whole are passed over.

    Raises:
        FaithfulError: no SAEs, no pages, pages that show other SAEs, a kind of explanations that there is not, more latents
            a request than the client takes, two SAEs of one name, a quantised model without an id of its own.
    """
    check_stated(config)
    if not 1 <= config.batch <= MOST_LATENTS:
        raise FaithfulError(f"--batch is from 1 to {MOST_LATENTS}: the client takes no more latents in a request.")
    if config.explanations not in (EXPLAINED, ALL, NONE):
        raise FaithfulError(f"--explanations {config.explanations} is none of {EXPLAINED}, {ALL} and {NONE}.")
    if not (config.run / "saes").is_dir():
        raise FaithfulError(f"{config.run} holds no SAEs; train some with `faithful train`, or name another run.")
    saes = chosen(find_saes([config.run / "saes"]), config.saes)
    pages = Pages(config.pages or config.run / "browse", _browse(config))
    places = _places(pages, saes, config)
    name = config.model_id or _own_id(pages.run)
    check_model_id(name)
    sets = _sets(list(places), config)
    conditions = _conditions(config, pages.run["parts"])
    out = config.out or config.run / "neuronpedia"
    sources, done, total = [], 0, sum(pages.run["saes"][place]["latents"] for place in places.values())
    with folder_lock(out):
        for of, place in zip(sets, places.values(), strict=True):
            sources.append(_write_set(out / of["name"], of, place, pages, name, config))
            done += pages.run["saes"][place]["latents"]
            report(Progress("latents", done, total, "latents"))
        model = {"id": name, "layers": pages.run["layers"], "displayName": _last(pages.run["model"])[:64]}
        write_record(
            out / UPLOAD,
            {"command": command_line(config), "model": model, "sets": sets}
            | {"conditions": [vars(condition) for condition in conditions]},
        )
    batches = [batch for source in sources for batch in source["batches"]]
    size = sum(batch["bytes"] for batch in batches)
    shown = {sae: pages.run["saes"][place]["latents"] for sae, place in places.items()}
    notes = [
        f"The pages show {count:,} of {sae.d_sae:,} latents of {of['name']}."
        for of, (sae, count) in zip(sets, shown.items(), strict=True)
        if count < sae.d_sae
    ]
    if _explained_since(config.run, pages, places.values()):
        notes.append(f"The pages show no explanations yet; `{pages.again}` takes up those of `faithful explain`.")
    latents, silent = sum(batch["latents"] for batch in batches), sum(source["silent"] for source in sources)
    explained = sum(source["explained"] for source in sources)
    withheld = sum(source["withheld"] for source in sources)
    return Export(
        out, name, [of["name"] for of in sets], latents, len(batches), size, silent, explained, withheld,
        len(conditions), tuple(notes),
    )  # fmt: skip


def _browse(config: ExportNeuronpediaConfig) -> str:
    """The command that makes the pages."""
    return command_line(BrowseConfig(config.run, config.pages, corpora=config.corpora))


def _places(pages: Pages, saes: list[TrainedSae], config: ExportNeuronpediaConfig) -> dict[TrainedSae, int]:
    """The SAEs to export, each with its place on the pages; where none is named, those that the pages show."""
    if config.saes:
        return {sae: pages.place(sae) for sae in saes}
    called = {(one["corpus"], one["shape"], one["name"]) for one in pages.run["saes"]}
    shown = [sae for sae in saes if sae.sha256 in {one["sha256"] for one in pages.run["saes"]}]
    if len(shown) < len(called):
        raise FaithfulError(
            f"The pages in {pages.folder} show SAEs that {config.run} no longer has; make them again with `{pages.again}`."
        )
    return {sae: pages.place(sae) for sae in shown}


def _own_id(run: RunPage) -> str:
    """The id of the model by its name.

    Raises:
        FaithfulError: it was quantised: there the name stands for the model as it is, whose latents these are not.
    """
    if load := run.get("load"):
        raise FaithfulError(
            f"The pages are of {run['model']} quantised to {load}, which is another model than the one of this name at"
            " Neuronpedia; state an id for it with --model-id."
        )
    return model_id(run["model"])


def _sets(saes: list[TrainedSae], config: ExportNeuronpediaConfig) -> list[SourceSet]:
    """A source set for each SAE, which has one at its layer alone."""
    names = set_names(saes, config.name or config.run.resolve().name)
    for name in names:
        check_set_name(name)
    return [
        {
            "name": name,
            "source": f"{hook_of(sae).layer}-{name}",
            "description": f"SAE trained on the corpus {sae.corpus}, seed {sae.seed}: {sae.shape}"[:128],
        }
        for name, sae in zip(names, saes, strict=True)
    ]


def _conditions(config: ExportNeuronpediaConfig, parts: Iterable[str]) -> list[Condition]:
    """Terms of the corpora whose text the pages quote; of one that is not found, that they are not known."""
    told = {place.resolve().name: place for place in corpora_in(*config.corpora)}
    places, found = told or trained_corpora(config.run / "saes"), []
    for name in parts:
        folder = places.get(name)
        if folder is None or not (folder / MANIFEST).is_file():
            found.append(Condition(name, name, None, GONE))
        else:
            found += conditions_of(Corpus(folder))
    return found


def _write_set(
    folder: Path, of: SourceSet, place: int, pages: Pages, model: str, config: ExportNeuronpediaConfig
) -> Source:
    """The files of one SAE; nothing where they are there, made of the same."""
    listed = pages.listed(place)
    said = explanations(listed["explanations"], config.explanation_method)
    chosen = {EXPLAINED: said.keys() & listed["explained"], ALL: said.keys(), NONE: set()}[config.explanations]
    sent = {latent: said[latent] for latent in sorted(chosen)}
    key = digest([WORDING, model, of["source"], config.batch, sorted(sent.items()), pages.sha256(place)])
    before = read_cache(folder / SOURCE, Source)
    if before and before["key"] == key and all(_is_there(folder, batch) for batch in before["batches"]):
        return before
    explained = withheld = 0
    batches: list[Batch] = []
    for part in _batched((one for one in pages.records(place) if not is_silent(one[1])), config.batch):
        features = [
            feature(pages, latent, record, listed["density"][latent], sent.get(latent)) for latent, record in part
        ]
        explained += sum(latent in sent for latent, _ in part)
        withheld += sum(latent in said and latent not in sent for latent, _ in part)
        path = folder / f"{len(batches):05}.json"
        body = {"modelId": model, "source": of["source"], "features": features}
        write_text(path, json.dumps(body, separators=(",", ":"), allow_nan=False) + "\n")
        batches.append(
            {
                "file": path.name, "first": part[0][0], "last": part[-1][0], "latents": len(part),
                "bytes": path.stat().st_size, "sha256": sha256_file(path),
            }
        )  # fmt: skip
    silent = pages.run["saes"][place]["latents"] - sum(batch["latents"] for batch in batches)
    source: Source = {
        "key": key, "silent": silent, "explained": explained, "withheld": withheld, "batches": batches,
    }  # fmt: skip
    write_record(folder / SOURCE, source)
    for left in {one["file"] for one in before["batches"]} - {one["file"] for one in batches} if before else ():
        (folder / left).unlink(missing_ok=True)
    return source


def _explained_since(run: Path, pages: Pages, places: Iterable[int]) -> bool:
    """Whether latents of a run were explained of which the pages say nothing."""
    there = run / "studies" / EXPLANATIONS_STUDY.name / EXPLANATIONS
    return there.is_file() and not any(pages.listed(place)["explanations"] for place in places)


def _is_there(folder: Path, batch: Batch) -> bool:
    path = folder / batch["file"]
    return path.is_file() and sha256_file(path) == batch["sha256"]


def _batched(records: Iterator[tuple[int, dict[str, Any]]], size: int) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    part: list[tuple[int, dict[str, Any]]] = []
    for one in records:
        part.append(one)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def _last(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]
