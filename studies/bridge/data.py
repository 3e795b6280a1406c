"""What is handed to the environment: the model as a folder, held-out text as rows of tokens, labelled texts as a file."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.files import write_atomically, write_json
from faithful.formats.files import CONFIG
from faithful.hooks.hook import MODULE, Hook
from faithful.store.saes import TrainedSae
from studies.common.inputs import StudyInput

TRAPS = ("llama", "gemma", "bert", "t5", "wav2vec2")
"""Words in a path that TransformerLens takes for a model's kind."""
MOST_ROWS = 16
MODEL_CONFIG = "config.json"


def absorption_layer(hook: Hook) -> int:
    """The layer whose resid_post the SAEs read: SAEBench's absorption reads no other place.

    Raises:
        FaithfulError: no layer's resid_post is what they read.
    """
    layer = hook.layer - (hook.kind == "resid_pre")
    if hook.kind not in ("resid_pre", "resid_post") or layer < 0:
        raise FaithfulError(
            f"These SAEs read {hook.name}; SAEBench's absorption reads what leaves a layer (resid_post, or resid_pre of the"
            " next): leave absorption out, or name other SAEs."
        )
    return layer


def check_saes(found: StudyInput) -> dict[str, TrainedSae]:
    """The SAEs by names that file names may have.

    Raises:
        FaithfulError: one that SAEBench would not read.
    """
    hook = found.hook
    if hook.kind == MODULE or hook.centred or not hook.bos:
        raise FaithfulError(
            f"These SAEs read {hook.name}; SAEBench reads resid_pre, resid_post, attn_out, mlp_out as they are, after a BOS."
        )
    named: dict[str, TrainedSae] = {}
    for sae in found.saes:
        if not (sae.folder / CONFIG).is_file():
            raise FaithfulError(f"{sae.source} is not in SAELens' files, which SAEBench reads; name other SAEs.")
        seed = "" if sae.seed is None else f"-seed-{sae.seed}"
        name = re.sub(r"[^\w.=-]+", "-", f"{sae.corpus}-{sae.shape}{seed}")
        named[name if name not in named else f"{name}-{len(named)}"] = sae
    return named


@contextmanager
def model_folder(found: StudyInput) -> Iterator[str]:
    """A folder with all files of a local model, under a name that says nothing of its kind; "" for one on the Hub.

    Raises:
        FaithfulError: the folder for temporary files has a name that TransformerLens would read a kind of model from.
    """
    spec = found.spec
    if not spec.is_local:
        yield ""
        return
    folder = Path(tempfile.gettempdir()) / f"faithful-{os.getpid()}"
    if any(word in str(folder).lower() for word in TRAPS):
        raise FaithfulError(
            f"TransformerLens would read the kind of the model off the path {folder}; set TMPDIR to another."
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        files = {file.name: file for place in (spec.files, spec.weights) for file in Path(place).resolve().iterdir()}
        for name, file in files.items():
            (folder / name).symlink_to(file)
        _name_positions(folder / MODEL_CONFIG)
        yield str(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _name_positions(path: Path) -> None:
    """Give the config of a GPT-2 of newer transformers the old name of its positions, which TransformerLens asks for."""
    config = json.loads(path.read_text(encoding="utf-8"))
    if "n_positions" in config and "n_ctx" not in config:
        path.unlink()
        write_json(path, config | {"n_ctx": config["n_positions"]})


def write_rows(rows: list[np.ndarray], folder: Path) -> None:
    """Rows of tokens as a data set of one file, in their order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"tokens": [row.tolist() for row in rows]})
    write_atomically(folder / "rows.parquet", lambda path: pq.write_table(table, path))


def rows_at_once(count: int) -> int:
    """Rows of a batch, so that batches are of one size and hold every row once: the largest divisor up to 16."""
    return max(size for size in range(1, MOST_ROWS + 1) if count % size == 0)


def write_tasks(tasks: Mapping[str, Any], path: Path) -> str:
    """Labelled texts by task, side and class; their hash."""
    write_json(path, tasks)
    return digest(tasks)
