"""A Hub that holds what the recipes name: checkpoints of the presets' architectures, shrunken, and small data sets.

Ids, pinned revisions, configs, splits, folders, file types and columns are those of the real repositories; the checkpoints
have as many layers as the real ones, of width 32 to 48, and the vocabulary of `tests.families`.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
import zstandard
from transformers import AutoConfig, AutoTokenizer

from faithful.models.load import shape_of
from faithful.models.presets import Preset, Shape, find_preset
from faithful.models.spec import resolve_model
from tests import families
from tests.faithful.hub.state import LARGE_NAMES, Blob, Commit, Hub, Repository

PILE = "3be90335b66f24456a5d6659d9c8d208c0357119"
SST2 = "8d51e7e4887a4caaa95b3fbebbf53c0490b58bbb"
GLUE = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
FILES, DOCUMENTS, EXAMPLES = 2, 180, 120
FAMILIES = {"gpt2": "gpt2", "pythia": "gpt_neox", "gemma": "gemma2", "llama": "llama"}
WORDS = {
    "web": "page site click online free home price review photo share comment blog news travel recipe garden order",
    "pile": "theorem court patient import return gene matrix appeal theory protein kernel lemma dose string void",
    "tasks": "question answer premise option translate sentence summary choose passage follows true false context",
    "common": "the a of and to in is it that was for on are with as at be this from or by not but",
}
PILE_SETS = ["Pile-CC", "Github", "PubMed Abstracts", "FreeLaw"]
FLAN_TASKS = ["piqa:1.1.0", "glue/mnli:2.0.0", "cot_gsm8k", "bool_q:1.0.0"]
PROBED = ["glue/sst2:2.0.0", "yelp_polarity_reviews:0.2.0", "ag_news_subset:1.0.0", "glue/cola:2.0.0"]
CLASSES = {
    "sentiment": ["bad dull awful boring wrong poor", "good great lovely bright fine warm"],
    "grammar": ["him her them us me", "he she they we I"],
    "section": [
        "war treaty minister border",
        "match goal coach league",
        "market shares profit bank",
        "software chip space lab",
    ],
}


def put(hub: Hub, kind: str, name: str, files: dict[str, bytes], revision: str | None = None) -> None:
    """A repository whose only commit holds these files, under the sha that it is pinned to where one is stated."""
    tree = {path: Blob(content, path.endswith(LARGE_NAMES)) for path, content in files.items()}
    repository = Repository(private=False)
    made = repository.commit("all of it", tree)
    if revision:
        repository.commits = [Commit(revision, None, made.title, tree)]
    hub.repositories[kind, name] = repository


def put_model(hub: Hub, name: str, folder: Path) -> Shape:
    """The shrunken checkpoint of a preset, under the preset's Hub id.

    Returns:
        its shape, as the catalog states the real one's.
    """
    preset = find_preset(name)
    assert preset is not None
    build(preset, folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    put(hub, "model", preset.source, files | {"README.md": readme({"license": preset.licence})})
    return shape_of(resolve_model(str(folder)))


def build(preset: Preset, folder: Path) -> Path:
    """A random checkpoint with the preset's layers and its architecture's settings, narrow."""
    family = FAMILIES[preset.family]
    base = families.build_family(family, folder.parent / f"{folder.name}-base")
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    config = AutoConfig.from_pretrained(base)
    stated = base / "generation_config.json"
    generation = json.loads(stated.read_text()) if stated.exists() else None
    width, heads = (48 if family == "gemma2" else 32), 2
    values: dict[str, Any] = {"num_hidden_layers": preset.shape.layers, "hidden_size": width}
    values["num_attention_heads"] = heads
    if family == "gpt2":
        values = {"n_layer": preset.shape.layers, "n_embd": width, "n_head": heads}
    elif family == "gpt_neox":
        values["intermediate_size"] = 4 * width
    elif family == "gemma2":
        types = ["full_attention" if layer % 2 else "sliding_attention" for layer in range(preset.shape.layers)]
        values |= {"num_key_value_heads": 1, "head_dim": 16, "query_pre_attn_scalar": 16, "layer_types": types}
        values |= {"intermediate_size": 2 * width}
    else:
        small = preset.name != "llama-3.1-8b"
        rope = {"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0 if small else 8.0}
        rope |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
        values |= {"num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 2 * width, "rope_parameters": rope}
        values |= {"tie_word_embeddings": small}
    changed = type(config).from_dict({**config.to_dict(), **values})
    ends = (generation or {}).get("eos_token_id", config.eos_token_id)
    return families._save(folder, changed, tokenizer, generation, ends if isinstance(ends, list) else [ends], 0)


def put_data_sets(hub: Hub) -> None:
    """FineWeb, the Pile and FLAN, and the four probe tasks."""
    configs = [_config("default", train="data/*/*"), _config("sample-10BT", train="sample/10BT/*")]
    elsewhere = parquet(text=["a row of another config"] * 3)
    put(hub, "dataset", "HuggingFaceFW/fineweb", {
        "README.md": readme({"license": "odc-by", "configs": configs}),
        "data/CC-MAIN-2013-20/000_00000.parquet": elsewhere,
        **{f"sample/10BT/{file:03d}_00000.parquet": _web(file) for file in range(FILES)},
    })  # fmt: skip
    put(hub, "dataset", "monology/pile-uncopyrighted", {
        "README.md": readme({"license": "other"}),
        **{f"train/{file:02d}.jsonl.zst": _pile(file) for file in range(FILES)},
        "val.jsonl.zst": _pile(FILES),
        "test.jsonl.zst": _pile(FILES + 1),
    }, PILE)  # fmt: skip
    put(hub, "dataset", "Open-Orca/FLAN", {
        "README.md": readme({"license": "cc-by-4.0"}),
        **{f"flan_zsopt_data/part.{file}.parquet": _flan(file) for file in range(FILES)},
        "flan_fsopt_data/part.0.parquet": _flan(FILES),
    })  # fmt: skip
    put(hub, "dataset", "stanfordnlp/sst2", _task("data/", "sentence", "sentiment", ["negative", "positive"]), SST2)
    put(
        hub,
        "dataset",
        "nyu-mll/glue",
        _task("cola/", "sentence", "grammar", ["unacceptable", "acceptable"], "cola"),
        GLUE,
    )
    sections = ["World", "Sports", "Business", "Sci/Tech"]
    put(hub, "dataset", "fancyzhx/ag_news", _task("data/", "text", "section", sections))
    put(hub, "dataset", "fancyzhx/yelp_polarity", _task("plain_text/", "text", "sentiment", ["1", "2"], "plain_text"))


def readme(values: dict[str, Any]) -> bytes:
    """A card with this metadata."""
    return f"---\n{yaml.safe_dump(values, sort_keys=False)}---\n# A card\n".encode()


def parquet(**columns: list[Any]) -> bytes:
    """A Parquet file of these columns."""
    content = io.BytesIO()
    pq.write_table(pa.table(columns), content, row_group_size=50)
    return content.getvalue()


def prose(rng: np.random.Generator, kind: str, words: int) -> str:
    """Words of a kind among common ones."""
    pool = f"{WORDS[kind]} {WORDS['common']}".split()
    return " ".join(rng.choice(pool, words)) + "."


def _config(name: str, **paths: str) -> dict[str, Any]:
    return {"config_name": name, "data_files": [{"split": split, "path": path} for split, path in paths.items()]}


def _web(file: int) -> bytes:
    rng = np.random.default_rng([1, file])
    texts = [prose(rng, "web", int(words)) for words in rng.integers(1, 12, DOCUMENTS)]
    count = [len(text) // 4 for text in texts]
    urls = [f"page {file} {row}" for row in range(DOCUMENTS)]
    return parquet(text=texts, id=urls, dump=["CC-MAIN-2013-20"] * DOCUMENTS, url=urls, token_count=count)


def _pile(file: int) -> bytes:
    rng = np.random.default_rng([2, file])
    rows = [
        {"text": prose(rng, "pile", int(words)), "meta": {"pile_set_name": PILE_SETS[int(words) % len(PILE_SETS)]}}
        for words in rng.integers(1, 16, DOCUMENTS)
    ]
    return zstandard.compress("".join(json.dumps(row) + "\n" for row in rows).encode())


def _flan(file: int) -> bytes:
    rng = np.random.default_rng([3, file])
    tasks = FLAN_TASKS + PROBED
    inputs = [f"{prose(rng, 'tasks', int(words))}\nOPTIONS:\n- yes\n- no" for words in rng.integers(1, 8, DOCUMENTS)]
    names = [tasks[row % len(tasks)] for row in range(DOCUMENTS)]
    return parquet(inputs=inputs, targets=["yes", "no", "it is so"] * (DOCUMENTS // 3), _template_idx=[1] * DOCUMENTS,
        _task_source=["Flan2021"] * DOCUMENTS, _task_name=names, _template_type=["zs_opt"] * DOCUMENTS)  # fmt: skip


def _task(prefix: str, column: str, kind: str, labels: list[str], config: str = "default") -> dict[str, bytes]:
    """A task whose classes differ in some words; GLUE's test split has no labels."""
    glue = column == "sentence"
    splits = ["train", "validation", "test"] if glue else ["train", "test"]
    features: list[dict[str, Any]] = [{"name": column, "dtype": "string"}]
    features += [{"name": "label", "dtype": {"class_label": {"names": dict(enumerate(labels))}}}]
    features += [{"name": "idx", "dtype": "int32"}] if glue else []
    paths = {split: f"{prefix}{split}-*" for split in splits}
    card = readme(
        {"configs": [_config(config, **paths)], "dataset_info": [{"config_name": config, "features": features}]}
    )
    return {"README.md": card} | {
        f"{prefix}{split}-00000-of-00001.parquet": _examples(place, split, column, kind, len(labels), glue)
        for place, split in enumerate(splits)
    }


def _examples(place: int, split: str, column: str, kind: str, classes: int, glue: bool) -> bytes:
    rng = np.random.default_rng([4, place, len(kind), classes])
    y = np.arange(EXAMPLES) % classes
    common = WORDS["common"].split()
    words = [[*rng.choice(CLASSES[kind][label].split(), 3), *rng.choice(common, rng.integers(4, 12))] for label in y]
    texts = [" ".join(rng.permutation(row)) for row in words]
    hidden = glue and split == "test"
    columns: dict[str, list[Any]] = {column: texts, "label": [-1] * EXAMPLES if hidden else y.tolist()}
    return parquet(**columns, **({"idx": pa.array(range(EXAMPLES), pa.int32())} if glue else {}))
