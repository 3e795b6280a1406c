"""What the cards of all corpora share: file layout, size, licence tags, tables of figures, samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from faithful.hub.templates import slug
from faithful.options.line import command_line
from faithful.store.corpus import SPLITS, Corpus, Manifest
from faithful.store.manifest_parts import Certificate, Described, Statistics
from generation.cards.origins import RANDOM, origins
from generation.configs.add import AddConfig

SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B")
SAMPLE_CHARACTERS = 600
UNNAMED = "as-the-source-states"
BESIDE = (
    "ce", "perplexity", "entropy", "excess_ce", "first_token_kl", "first_token_js", "first_token_js_floor",
    "unigram_js", "unigram_js_floor",
)  # fmt: skip


@dataclass(frozen=True)
class Address:
    """How a card names its corpus: beside it on this machine, or on the Hub.

    Attributes:
        loaded: the arguments of `load_dataset`.
        folder: what its files are below, for polars.
        typed: the corpus as a command names it.
        fetch: the command that brings it here before that, "" where it is here.
        cited: where it is, for its citation.
    """

    loaded: str
    folder: str
    typed: str
    fetch: str
    cited: str

    @classmethod
    def here(cls, corpus: Corpus) -> "Address":
        """A folder as it was named, or its last part where that was absolute."""
        path = corpus.name if corpus.folder.is_absolute() else corpus.folder.as_posix()
        return cls(f'"{path}"', path, path, "", path)

    @classmethod
    def on_hub(cls, corpus: Corpus, name: str, config: str | None) -> "Address":
        """`USER/REPO`, and the config where the repository holds several corpora, which is also its folder there."""
        loaded, place = f'"{name}"', name
        if config:
            loaded, place = f'{loaded}, "{config}"', f"{name}/{config}"
        fetch = command_line(AddConfig, name=name, config=config, out=corpus.name)
        return cls(loaded, f"hf://datasets/{place}", corpus.name, fetch, f"{place} on the Hub")


def texts_metadata(
    title: str,
    manifests: Sequence[Manifest],
    configs: list[dict[str, Any]],
    sources: Sequence[str] = (),
    language: str | None = None,
) -> dict[str, Any]:
    """The YAML of a card of corpora: only what is known. Licence and origin are those of the texts, never guessed.

    Args:
        title: of the card.
        manifests: of its corpora.
        configs: see `config_entry`.
        sources: sets that the texts are from, as the Hub spells them.
        language: of the texts, None when unknown.
    """
    texts = list(dict.fromkeys(text for manifest in manifests for text in origins(manifest)))
    licences = list(dict.fromkeys(text.licence for text in texts if text.kind != RANDOM))
    creators = {"machine-generated": any(t.synthetic for t in texts), "found": any(not t.synthetic for t in texts)}
    rows = sum(manifest.rows(split) for manifest in manifests for split in manifest.shards)
    size = next((label for label, power in zip(SIZES, range(3, 11), strict=True) if rows < 10**power), SIZES[-1])
    values: dict[str, Any] = {"pretty_name": title} | ({"language": [language]} if language else {})
    if None not in licences:
        values |= licence_tags(" + ".join(map(str, licences)))
    values |= {
        "annotations_creators": ["no-annotation"],
        "language_creators": [name for name, there in creators.items() if there],
    }
    tags = [*(["synthetic"] if creators["machine-generated"] else []), "faithful", "sparse-autoencoder"]
    return (
        values
        | ({"source_datasets": list(sources)} if sources else {})
        | {
            "size_categories": [size],
            "task_categories": ["text-generation"],
            "task_ids": ["language-modeling"],
            "tags": [*tags, slug(manifests[0].identity["model"]["name"].split("/")[-1])],
            "configs": configs,
        }
    )


def config_entry(manifest: Manifest, name: str = "default", below: str = "") -> dict[str, Any]:
    """A corpus as a config of its data set: the splits that have any files.

    Args:
        manifest: of the corpus.
        name: of the config.
        below: its folder in the repository, "" or with a slash at the end.
    """
    files = [
        {"split": split, "path": f"{below}{part}/*.parquet"} for split, part in SPLITS.items() if manifest.shards[split]
    ]
    return {"config_name": name, "data_files": files}


def licence_tags(licence: str | None) -> dict[str, Any]:
    """`license` of a card as the Hub spells it, with the `license_name` that it asks for where it has no tag; {} for none."""
    if not licence:
        return {}
    tags = [part.strip().lower() for part in licence.split(" + ")]
    if all(tag in HUB_LICENCES for tag in tags):
        return {"license": tags if len(tags) > 1 else tags[0]}
    names = [UNNAMED if tag == "other" else tag for tag in tags]
    return {"license": "other", "license_name": slug(" ".join(names))}


def statistics_rows(statistics: Statistics) -> list[tuple[str, str]]:
    """A corpus' statistics (docs/metrics.md, "Corpus") as a table."""
    shares = (
        "eos_rate", "duplicate_rate", "near_duplicate_rate", "repetition_rate", "round_trip_rate", "unmapped_rate",
    )  # fmt: skip
    rows = []
    for name, value in statistics.items():
        if name in ("documents", "tokens"):
            rows.append((name, f"{value:,}"))
        elif name in shares and value is not None:
            rows.append((name.replace("_", " "), f"{value:.2%}"))
        elif isinstance(value, int | float):
            rows.append((name.replace("_", " "), f"{value:.4g}"))
    grams = statistics.get("across", {}).get("shared_grams")
    if grams and grams["share"] is not None:
        rows.append(("held-out runs of 13 tokens that the training split holds", f"{grams['share']:.2%}"))
    curves: Mapping[str, Any] = statistics.get("curves", {})
    if curves.get("budgets"):
        at = f"{curves['budgets'][-1]:,} tokens"
        rows += [
            (f"{name.replace('_', ' ')} at {at}", f"{values[-1]:.4g}")
            for name, values in curves.items()
            if name != "budgets"
        ]
    return rows


def figures_beside(certificate: Certificate | None) -> Described:
    """The corpus figures that need the model (docs/metrics.md, "Corpus"), from the scoring pass; {} before it.

    Of text that is held against the model itself the surprise gap too, the other axis; own text has it in its certificate.
    """
    figures: Mapping[str, object] = certificate or {}
    names = BESIDE if figures.get("as_declared") else ("surprise_gap", *BESIDE)
    return cast(Described, {name: figures[name] for name in names if figures.get(name) is not None})


def sample_texts(corpus: Corpus, count: int) -> list[str]:
    """The first samples' texts, shortened; an empty document is shown as such."""
    rows = next(corpus.batches("train", ["text", "n_tokens"])).slice(0, count).to_pylist()
    texts = [row["text"] for row in rows]
    shown = [text if len(text) <= SAMPLE_CHARACTERS else text[:SAMPLE_CHARACTERS] + " …" for text in texts]
    return [text.replace("```", "ʼʼʼ") if text else "(empty: end-of-text at once)" for text in shown]


HUB_LICENCES = {
    "agpl-3.0", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-3.0", "cc-by-nc-4.0",
    "cc-by-nc-nd-4.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0",
    "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0", "gemma", "gfdl", "gpl-3.0", "lgpl-3.0", "llama2",
    "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4", "mit", "mpl-2.0", "odbl", "odc-by", "openrail", "pddl",
    "unlicense",
}  # fmt: skip
