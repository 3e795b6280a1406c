"""The card of a grid of SAEs: what each reaches, how to load it, how it was trained, whose licence to look at."""

from collections.abc import Mapping, Sequence
from math import isclose, prod
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NotRequired, TypedDict

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock, locked_together, write_text
from faithful.base.records import turn
from faithful.hub.card_file import markdown_table
from faithful.hub.licences import licence_paragraph
from faithful.hub.templates import slug
from faithful.models.presets import find_preset
from faithful.options.line import folded
from faithful.sae.variant import DEFAULT
from faithful.store.corpora_of_saes import NAME
from faithful.store.corpus import Manifest
from faithful.store.manifest_parts import ModelPart
from faithful.store.saes import FILES, TrainedSae, corpora_beside, read_grid
from faithful.training.config import TrainConfig
from faithful.training.identity import in_words
from faithful.training.settings import default_lr
from faithful.training.variants import typed_settings

SETTINGS = (
    ("revision", "model revision"), ("dtype", "model dtype"), ("load", "model quantised to"), ("hook", "hook"),
    ("context", "context, BOS included"), ("layout", "layout"), ("tokens", "stored tokens per corpus"),
    ("epochs", "epochs"), ("batch", "activations per step"),
    ("buffer", "activations in the mixing buffer"), ("lr", "learning rate"), ("data_seed", "seed of the data order"),
    ("drop_outliers", "activations with outlying norms left out"),
)  # fmt: skip
RECORDED = ("context", "layout", "data_seed", "batch", "buffer", "dtype", "drop_outliers")
"""Settings that a grid's cells record under the names they have in `TrainConfig`."""
FIGURES = (
    ("fvu", ".4f"), ("l0", ".2f"), ("ce_recovered", ".4f"), ("never_fired", ",d"), ("start_cosine", ".3f"),
)  # fmt: skip


class ModelFacts(TypedDict):
    """What is known of a model; `hub` is its Hub id, None for a local one; `loads` are its corpora that were sampled with its
    weights loaded as `ModelSpec.load` says (`full` for None), by name."""

    name: str
    hub: str | None
    revision: str
    licence: str | None
    family: str
    loads: NotRequired[dict[str, str]]


def model_facts(cells: Sequence[TrainedSae], corpora: dict[str, Manifest]) -> ModelFacts:
    """What the SAEs, their corpora and the presets say of the model."""
    names = sorted({str(cell.identity.get("model") or cell.metadata.get("model_name") or "unknown") for cell in cells})
    if len(names) > 1:
        raise FaithfulError(f"The SAEs are of several models ({', '.join(names)}); publish each model's by themselves.")
    name = names[0]
    known: ModelPart = {}
    loads = {}
    for corpus, manifest in corpora.items():
        if manifest.provenance.get("model", {}).get("name") == name:
            known = manifest.provenance["model"]
            if manifest.kind == "own":
                loads[corpus] = known.get("load") or "full"
    preset = find_preset(name)
    source = str(known.get("source") or (preset.source if preset else name))
    revision = str(next((cell.identity["revision"] for cell in cells if cell.identity.get("revision")), ""))
    is_on_hub = source.count("/") == 1 and not source.startswith((".", "/", "~")) and not revision.startswith("sha256:")
    return {
        "name": name,
        "hub": source if is_on_hub else None,
        "revision": revision,
        "licence": known.get("licence") or (preset.licence if preset else None),
        "family": known.get("family") or (preset.family if preset else ""),
        "loads": loads,
    }


def variants_of(cells: Sequence[TrainedSae]) -> list[str]:
    """The variants of SAEs; of SAEs from elsewhere their architecture."""
    found = (cell.identity.get("variant") or cell.config.get("architecture") or DEFAULT for cell in cells)
    return list(dict.fromkeys(found))


def kinds_of(cells: Sequence[TrainedSae]) -> str:
    """The same in words."""
    return " and ".join("TopK" if name == DEFAULT else name for name in variants_of(cells))


def sae_metadata(
    cells: Sequence[TrainedSae], model: ModelFacts, datasets: Sequence[str] = ()
) -> Mapping[str, str | list[str]]:
    """The card's YAML: only what is known. The licence of the SAEs is for whoever publishes them to state."""
    values: dict[str, str | list[str]] = {"library_name": "saelens"}
    if model["hub"]:
        values["base_model"] = [model["hub"]]
    if datasets:
        values["datasets"] = list(datasets)
    short = slug(model["name"].split("/")[-1])
    tags = ["sparse-autoencoder", "mechanistic-interpretability", "faithful", *variants_of(cells), short]
    return values | {"tags": tags}


def write_saes_card(folder: Path) -> Path:
    """Write or renew README.md beside a grid of SAEs; what people wrote outside its markers is kept.

    Raises:
        FaithfulError: SAEs of several models, a README.md whose markers or metadata are broken, or the SAEs are being
            published.
    """
    from faithful.hub.card_file import make_card

    # Held together as by who trains, it keeps out who publishes; of parts that end at once the last turn sees all SAEs.
    with locked_together(folder), folder_lock(folder), turn(folder / NAME):
        cells = read_grid(folder)
        model = model_facts(cells, corpora_beside(folder))
        text = render_saes(folder.as_posix(), cells, model, f"SAEs of {model['name'].split('/')[-1]}", folder)
        metadata = {"library_name": "saelens", "tags": sae_metadata(cells, model)["tags"]}
        write_text(folder / "README.md", make_card(metadata, text, folder / "README.md"))
    return folder / "README.md"


def render_saes(
    name: str, cells: Sequence[TrainedSae], model: ModelFacts, title: str | None, where: Path | None = None
) -> str:
    """The generated part of the card, Markdown.

    Args:
        name: `USER/REPO`, or what the folder is called.
        cells: the SAEs.
        model: see `model_facts`.
        title: heading; None for a part of another card.
        where: the folder that they are loaded from; None for the Hub.
    """
    from faithful.hub.templates import render_template

    there, on_hub = (where / cells[0].place).as_posix() if where else "", f'"{name}", "{cells[0].place}"'

    shared, trained = _shared(cells), trained_by(cells, model)
    hooks = list(dict.fromkeys(str(cell.metadata.get("hook_name")) for cell in cells))
    corpora = list(dict.fromkeys(cell.corpus for cell in cells))
    load = shared.get("load") or "full"
    others = [f"{one} ({how})" for one, how in model.get("loads", {}).items() if one in corpora and how != load]
    return render_template(
        "saes.md.jinja",
        title=title,
        count=len(cells),
        kind=kinds_of(cells),
        model=model["name"],
        hooks=", ".join(f"`{hook}`" for hook in hooks),
        corpora=corpora,
        load=shared.get("load"),
        seeds=len({cell.identity.get("init_seed") for cell in cells}),
        repo=name,
        load_saelens=f'SAE.load_from_disk("{there}")' if where else f"SAE.from_pretrained({on_hub})",
        load_ours=f'faithful.load_sae("{there}")' if where else f"faithful.load_sae({on_hub})",
        d_in=cells[0].config.get("d_in", "d_in"),
        d_sae=cells[0].config.get("d_sae", "d_sae"),
        means=means_table(cells),
        normalised=model["family"] in ("gpt2", "pythia"),
        cells=cells_table(cells),
        settings=[
            ("model", model["name"]),
            *((label, _value(shared[key])) for key, label in SETTINGS if key in shared),
            *([("text of another model, of this one loaded otherwise", ", ".join(others))] if others else []),
            *((f"variant {name}", in_words(values)) for name, values in _variants(cells) if name != DEFAULT),
        ],
        command=trained and folded(trained),
        files=", ".join(text for name, text in FILES.items() if all((cell.folder / name).is_file() for cell in cells)),
        licence=licence_paragraph(model),
    )


def means_table(cells: Sequence[TrainedSae]) -> str:
    """One row per corpus and shape: figures of docs/metrics.md, mean ± standard deviation over the SAEs."""
    names = tuple(name for name, _ in FIGURES)
    return markdown_table(("corpus", "shape", "SAEs", *names), mean_rows(cells, names))


def mean_rows(cells: Sequence[TrainedSae], names: Sequence[str]) -> list[tuple[str, ...]]:
    """Corpus, shape, number of SAEs and figures by their names."""
    return [
        (corpus, shape, str(len(some)), *(mean_and_sd([cell.figure(name) for cell in some]) for name in names))
        for (corpus, shape), some in by_corpus_and_shape(cells).items()
    ]


def by_corpus_and_shape(cells: Sequence[TrainedSae]) -> dict[tuple[str, str], list[TrainedSae]]:
    """SAEs that differ in their seed alone."""
    groups: dict[tuple[str, str], list[TrainedSae]] = {}
    for cell in cells:
        groups.setdefault((cell.corpus, cell.shape_folder), []).append(cell)
    return groups


def cells_table(cells: Sequence[TrainedSae]) -> str:
    """One row per SAE: where it is, and its figures on held-out text (docs/metrics.md, "Training")."""
    rows = [(f"`{cell.place}`", *(_figure(cell.figure(name), form) for name, form in FIGURES)) for cell in cells]
    return markdown_table(("SAE", *(name for name, _ in FIGURES)), rows)


def trained_by(cells: Sequence[TrainedSae], model: ModelFacts) -> TrainConfig | None:
    """What to tell `faithful train` to make the grid again, corpora by name, None where it was not one grid."""
    shared, identities = _shared(cells), [cell.identity for cell in cells]
    if not {*RECORDED, "hook", "tokens", "epochs"} <= shared.keys() or not all(identities):
        return None
    preset = find_preset(model["name"])
    is_default = all(isclose(one["lr"], default_lr(preset, one["d_sae"])) for one in identities)
    if "lr" not in shared and not is_default:
        return None
    kind, _, layer = str(shared["hook"]).partition(".")
    lists: dict[str, list[Any]] = {
        name: sorted({dict(identity)[name] for identity in identities})
        for name in ("corpus", "init_seed", "d_sae", "k")
    }
    variants = _variants(cells)
    names, settings = _grid_of(variants)
    if prod(map(len, lists.values())) * len(variants) != len(cells) or settings is None:
        return None
    # Without --load the model is loaded as its own corpus was sampled.
    is_otherwise = any(model.get("loads", {}).get(corpus, "full") != "full" for corpus in lists["corpus"])
    return TrainConfig(
        corpora=tuple(map(Path, lists["corpus"])),
        out=Path("saes"),
        # A folder may bear a preset's name with other weights: of those the corpora say where they are.
        model=model["hub"] or (preset.name if preset and Path(preset.source).is_absolute() else None),
        seeds=tuple(lists["init_seed"]),
        layer=int(layer),
        hook=kind,
        d_sae=tuple(lists["d_sae"]),
        k=tuple(lists["k"]),
        lr=shared.get("lr"),
        **({"tokens": shared["tokens"]} if shared["epochs"] == 1 else {"epochs": shared["epochs"]}),
        variant=names,
        settings=settings,
        **{name: shared[name] for name in RECORDED},
        load=shared.get("load") or ("full" if is_otherwise else None),
    )


def _variants(cells: Sequence[TrainedSae]) -> list[tuple[str, Mapping[str, Any]]]:
    """The variants of SAEs with their parameters, each once, the default first."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for cell in cells:
        one = cell.identity.get("variant", DEFAULT), cell.identity.get("parameters", {})
        if one not in found:
            found.append(one)
    return sorted(found, key=lambda one: one[0] != DEFAULT)


def _grid_of(variants: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """The names of variants, and the settings that make a grid of them; None where no settings do."""
    settings: list[str] = []
    names = tuple(dict.fromkeys(name for name, _ in variants))
    for name in names:
        found = [values for one, values in variants if one == name]
        each = {key: list(dict.fromkeys(values[key] for values in found)) for key in found[0]}
        if prod(map(len, each.values())) != len(found):
            return names, None
        settings += typed_settings({name: each})
    return names, tuple(settings)


def _shared(cells: Sequence[TrainedSae]) -> Mapping[str, Any]:
    """Settings that all cells have alike."""
    identities: list[Mapping[str, Any]] = [cell.identity for cell in cells]
    keys = dict.fromkeys(key for identity in identities for key in identity)
    return {
        key: identities[0].get(key) for key in keys if all(i.get(key) == identities[0].get(key) for i in identities)
    }


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else format(int(value) if form.endswith("d") else value, form)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return in_words(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else f"`{value}`"


def mean_and_sd(values: Sequence[float | None]) -> str:
    """`0.194 ± 0.002`; a dash where any SAE has no such figure."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "–"
    mean, deviation = fmean(known), stdev(known) if len(known) > 1 else None
    if deviation is None:
        return f"{mean:.4g}"
    return f"{mean:.4g} ± {deviation if deviation > 1e-12 * abs(mean) else 0:.2g}"  # less is rounding: l0 of a TopK SAE
