"""What belongs into the repositories of a corpus, of a grid of SAEs, of a run: files, cards, terms to accept."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.hub.card_file import make_card
from faithful.hub.local_files import LocalFile, is_named, measured, refuse_linked_folders, sendable
from faithful.hub.plan import Bundle, is_plain_name
from faithful.hub.repository import CARD
from faithful.options.line import command_line
from faithful.store.corpus import SPLITS, Corpus, Manifest, read_manifest
from faithful.store.places import corpora_of, studies_of
from faithful.store.saes import TrainedSae, corpora_beside, read_grid
from faithful.training.card import kinds_of, model_facts, render_saes, sae_metadata
from generation.cards.card import card_is_current, hub_card
from generation.configs.add import AddConfig
from studies.runs.card_parts import corpora_table, drawn_figures, grid_words, shown_studies, study_section
from studies.runs.local_paths import manifest_file, paths_objection, without_paths
from studies.runs.terms import conditions_of, conditions_of_quotes, terms_of
from studies.runs.unfinished import refuse_unfinished_grid, refuse_unfinished_run

UNFINISHED, PICTURE = "unfinished", "pit.png"


@dataclass(frozen=True)
class RunBundles:
    """A run's two repositories; either is None where the run has nothing for it."""

    dataset: Bundle | None
    model: Bundle | None


def corpus_bundle(folder: Path, name: str) -> Bundle:
    """The data set of one corpus.

    Raises:
        FaithfulError: no corpus, not finished, damaged.
    """
    corpus = open_finished(folder)
    files = corpus_files(corpus, "", folder)
    card = hub_card(without_paths(corpus), name, section=study_section(folder), root=folder)
    return Bundle(
        name=name,
        kind="dataset",
        holds="corpus",
        subject=digest(corpus.manifest.identity),
        files=files,
        card=card,
        folders=tuple(f"{part}/" for part in SPLITS.values()),
        conditions=conditions_of(corpus),
        objections=paths_objection(folder, [corpus.manifest], {CARD: card}, files),
    )


def saes_bundle(folder: Path, name: str) -> Bundle:
    """The model repository of a grid of SAEs.

    Args:
        folder: the grid, a part of it, or the run that holds it.
        name: `USER/REPO`.

    Raises:
        FaithfulError: no SAEs, SAEs of several models, a training that was not brought to its end.
    """
    folder = grid_folder(folder)
    refuse_linked_folders(folder)
    found = read_grid(folder)
    refuse_unfinished_grid(folder, found)
    cells = _placed(folder, found)
    corpora = corpora_beside(folder)
    model = model_facts(cells, corpora)
    title = f"SAEs of {model['name'].split('/')[-1]}"
    metadata = sae_metadata(cells, model, _source_sets(cells, corpora))
    files = _sae_files(cells, folder)
    card = make_card(metadata, render_saes(name, cells, model, title), folder / "README.md", folder)
    return Bundle(
        name,
        "model",
        "saes",
        model["name"],
        files,
        card,
        parts=_cell_identities(cells),
        objections=paths_objection(folder, corpora.values(), {CARD: card}, files),
    )


def grid_folder(folder: Path) -> Path:
    """The folder of a grid: the one named, or `saes` in it where that is a run's."""
    inside = folder / "saes"
    return inside if (inside / "corpora.json").is_file() and not (folder / "corpora.json").is_file() else folder


def run_bundles(folder: Path, name: str, *, include_external: bool, endpoint: str) -> RunBundles:
    """Both repositories of a run, linked to each other.

    Args:
        folder: the run.
        name: `USER/REPO`, of both.
        include_external: publish corpora of other people's text too.
        endpoint: address of the Hub, for the links between the two.

    Raises:
        FaithfulError: nothing to publish, or a part that is not finished.
    """
    refuse_unfinished_run(folder)
    everything = [(path, read_manifest(path)) for path in corpora_of(folder)]
    _refuse_odd_names(path.name for path, _ in everything)
    chosen = [path for path, manifest in everything if include_external or _is_own(manifest)]
    left_out = [path.name for path, _ in everything if path not in chosen]
    corpora = [open_finished(path) for path in chosen]
    cells = []
    if (folder / "saes").is_dir():
        refuse_linked_folders(folder / "saes")
        cells = read_grid(folder / "saes")
    if cells:
        refuse_unfinished_grid(folder / "saes", cells)
    if not corpora and not cells:
        raise FaithfulError(
            f"{folder} holds nothing to publish: no SAEs, and no corpus that may go without --include-external."
        )
    notes: tuple[str, ...] = ()
    if left_out:
        notes = (f"Not published here, being made of other people's text: {', '.join(left_out)}.",)
    dataset = _run_dataset(folder, corpora, name, endpoint if cells else None, notes) if corpora else None
    model = (
        _run_model(folder, everything, cells, name, endpoint if corpora else None, corpora, notes) if cells else None
    )
    return RunBundles(dataset, model)


def open_finished(folder: Path) -> Corpus:
    """A corpus that is complete; nothing in its folder is changed.

    Raises:
        FaithfulError: it is not, or it cannot be read.
    """
    corpus = Corpus(folder)
    manifest = corpus.manifest
    exhausted = manifest.provenance.get("exhausted", [])
    short = [s for s in SPLITS if manifest.tokens(s) < manifest.requested.get(s, 0) and s not in exhausted]
    if UNFINISHED in manifest.provenance or short or not manifest.tokens():
        raise FaithfulError(f"{folder} is not finished; run the command that makes it again, then publish it.")
    return corpus


def corpus_files(corpus: Corpus, below: str, root: Path) -> tuple[LocalFile, ...]:
    """Manifest, shards and picture of a corpus, each as the manifest has it. Logs, locks and temporary files are not there.

    Args:
        corpus: the corpus.
        below: its folder in the repository, "" or with a slash at the end.
        root: the folder that is published.

    Raises:
        FaithfulError: a shard is missing or damaged, or a file is a link that leads out of `root`.
    """
    shards = {below + shard.file: shard for split in corpus.manifest.shards.values() for shard in split}
    missing = [shard.file for shard in shards.values() if not is_named(corpus.folder / shard.file)]
    files = () if missing else measured(((path, corpus.folder / one.file) for path, one in shards.items()), root)
    wrong = missing or [shards[file.path].file for file in files if file.sha256 != shards[file.path].sha256]
    if wrong:
        raise FaithfulError(
            f"{corpus.folder / wrong[0]} is missing or damaged; run the command that makes the corpus again to restore it."
        )
    return (*files, manifest_file(corpus, below, root), *_picture(corpus, below, root))


def _picture(corpus: Corpus, below: str, root: Path) -> tuple[LocalFile, ...]:
    """The histogram that the card shows, drawn anew where the one on disk is of another certificate."""
    from generation.cards.figures import pit_figure

    certificate, path = corpus.manifest.certificate, corpus.folder / PICTURE
    if not certificate or "pit_counts" not in certificate:
        return ()
    if is_named(path):
        sendable(path, root)
        if card_is_current(corpus.folder):
            return measured([(below + PICTURE, path)], root)
    with TemporaryDirectory() as folder:
        drawn = Path(folder) / PICTURE
        pit_figure(certificate, drawn)
        return measured([(below + PICTURE, drawn)], Path(folder))


def _refuse_odd_names(names: Iterable[str]) -> None:
    """Raise where a corpus' folder cannot be a config: `datasets` would read its name as a pattern, or not at all."""
    odd = [name for name in names if not is_plain_name(name)]
    if odd:
        raise FaithfulError(
            f"The corpus folder '{odd[0]}' cannot be a config of a data set; rename it to letters, digits, dots, dashes and"
            " underscores."
        )


def _is_own(manifest: Manifest) -> bool:
    """Whether nothing but samples of models and random ids is in a corpus."""
    from generation.cards.origins import MODEL, RANDOM, origins

    return all(origin.kind in (MODEL, RANDOM) for origin in origins(manifest))


def _sae_files(cells: Sequence[TrainedSae], root: Path) -> tuple[LocalFile, ...]:
    return measured(((f"{cell.place}/{path.name}", path) for cell in cells for path in cell.files), root)


def _cell_identities(cells: Sequence[TrainedSae]) -> dict[str, str]:
    """What tells each SAE from another at its place."""
    return {cell.place: digest(cell.identity) for cell in cells if cell.identity}


def _placed(folder: Path, cells: list[TrainedSae]) -> list[TrainedSae]:
    """Cells at the place they have in a grid, also when `folder` is a corpus' or a shape's or one SAE's part of it."""
    root = next(
        (path for path in (folder.resolve(), *folder.resolve().parents[:3]) if (path / "corpora.json").is_file()), None
    )
    if root is None or root == folder.resolve():
        if any(not cell.place for cell in cells):
            raise FaithfulError(f"{folder} is a single SAE outside a grid; name the folder that holds it.")
        return cells
    below = folder.resolve().relative_to(root).as_posix()
    return [replace(cell, place=f"{below}/{cell.place}".rstrip("/")) for cell in cells]


def _source_sets(cells: Sequence[TrainedSae], corpora: dict[str, Manifest]) -> list[str]:
    """Hub ids of the sets whose text the SAEs were trained on."""
    from generation.cards.origins import origins

    used = {cell.corpus for cell in cells}
    found = [origin.repo for name, manifest in corpora.items() if name in used for origin in origins(manifest)]
    return list(dict.fromkeys(repo for repo in found if repo))


def _run_dataset(
    folder: Path, corpora: list[Corpus], name: str, model_endpoint: str | None, notes: tuple[str, ...]
) -> Bundle:
    from faithful.hub.templates import render_template
    from generation.cards.origins import MODEL, origins
    from generation.cards.parts import config_entry, texts_metadata

    files = tuple(file for corpus in corpora for file in corpus_files(corpus, f"{corpus.name}/", folder))
    texts = list(
        dict.fromkeys(
            replace(origin, terms=terms_of(corpus, origin)) for corpus in corpora for origin in origins(corpus.manifest)
        )
    )
    manifests = [corpus.manifest for corpus in corpora]
    first, title = manifests[0], f"Corpora for {manifests[0].identity['model']['name'].split('/')[-1]}"
    default = next((corpus.name for corpus in corpora if corpus.manifest.kind == "own"), corpora[0].name)
    configs = [
        config_entry(corpus.manifest, corpus.name, f"{corpus.name}/")
        | ({"default": True} if corpus.name == default else {})
        for corpus in corpora
    ]
    sources = ["original"] if any(text.kind == MODEL for text in texts) else []
    text = render_template(
        "corpora.md.jinja",
        title=title,
        intro=f"{len(corpora)} {'corpus' if len(corpora) == 1 else 'corpora'} of token ids for the language model"
        f" **{first.identity['model']['name']}**, one config each: training and held-out split, one schema, one tokenizer.",
        repo=name,
        example=default,
        fetch=command_line(AddConfig, name=name, config=default),
        bos_id=first.identity["model"]["bos_id"],
        model_address=f"{model_endpoint}/{name}" if model_endpoint else None,
        corpora=corpora_table([(corpus.name, corpus.manifest) for corpus in corpora], links=True),
        notes=notes,
        origins=texts,
    )
    cards = {
        f"{corpus.name}/{CARD}": hub_card(
            without_paths(corpus), name, corpus.name, study_section(corpus.folder), folder
        )
        for corpus in corpora
    }
    return Bundle(
        name=name,
        kind="dataset",
        holds="run",
        subject=first.identity["model"]["name"],
        files=files,
        card=make_card(texts_metadata(title, manifests, configs, sources), text),
        cards=cards,
        folders=tuple(f"{corpus.name}/{part}/" for corpus in corpora for part in SPLITS.values()),
        conditions=tuple(condition for corpus in corpora for condition in conditions_of(corpus)),
        notes=notes,
        parts={corpus.name: digest(corpus.manifest.identity) for corpus in corpora},
        objections=paths_objection(folder, manifests, cards, files),
    )


def _run_model(
    folder: Path,
    everything: list[tuple[Path, Manifest]],
    cells: list[TrainedSae],
    name: str,
    dataset_endpoint: str | None,
    published: list[Corpus],
    notes: tuple[str, ...],
) -> Bundle:
    from faithful.hub.templates import render_template

    manifests = {path.name: manifest for path, manifest in everything}
    model = model_facts(cells, manifests | corpora_beside(folder / "saes"))
    short = model["name"].split("/")[-1]
    title = f"SAEs of {short} by training corpus"
    studies = shown_studies(folder)
    sets = [*([name] if dataset_endpoint else []), *_source_sets(cells, manifests)]
    text = render_template(
        "run.md.jinja",
        title=title,
        intro=f"{len(cells)} {kinds_of(cells)} sparse autoencoders (SAEs) of **{model['name']}**{grid_words(cells)}, and what"
        " comes out when they are compared.",
        repo=name,
        dataset=f"{dataset_endpoint}/datasets/{name}" if dataset_endpoint else None,
        has_report=(folder / "report.html").is_file(),
        corpora=corpora_table(list(manifests.items())),
        notes=notes,
        studies=studies,
        saes=render_saes(name, cells, model, None),
    )
    extra = [path for path in (folder / "report.html", folder / "recipe.toml") if is_named(path)]
    for study in studies_of(folder):
        extra += [study / "summary.json", *drawn_figures(study)]
        extra += [path for path in (study / "results.parquet",) if is_named(path)]
    files = [
        *_sae_files(cells, folder),
        *measured(((path.relative_to(folder).as_posix(), path) for path in extra), folder),
    ]
    card = make_card(sae_metadata(cells, model, list(dict.fromkeys(sets))), text)
    corpora = (manifests | corpora_beside(folder / "saes")).values()
    return Bundle(
        name,
        "model",
        "run",
        model["name"],
        tuple(files),
        card,
        conditions=conditions_of_quotes(
            folder, [corpus.folder for corpus in published], {cell.corpus for cell in cells if cell.record}
        ),
        notes=notes,
        parts=_cell_identities(cells),
        objections=paths_objection(folder, corpora, {CARD: card}, files),
    )
