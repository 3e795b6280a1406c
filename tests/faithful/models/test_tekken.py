"""Mistral's tekken.json: the same tokenizer whether or not mistral_common, which vLLM brings, is installed."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from faithful.models.spec import resolve_model
from faithful.models.tokenizer import load_tokenizer
from faithful.store.token_rows import special_ids
from generation.external.encoder import Encoder
from tests.families import copy_family

CONTROL = (
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]",
    "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
)  # fmt: skip
PIECES = (b" t", b"he", b"in", b"th", b"the", b"ing")


@pytest.fixture(params=["tekken.json alone", "beside tokenizer.json"])
def tekken(request: pytest.FixtureRequest, family_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """A Mistral with a tekken.json."""
    folder = copy_family(family_folder("mistral"), tmp_path / "model")
    for path in (*folder.glob("tokenizer*"), *folder.glob("special*")):
        path.unlink()
    ranks = [bytes([byte]) for byte in range(256)] + list(PIECES)
    written = {
        "config": {
            "pattern": r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
            "num_vocab_tokens": len(ranks),
            "default_vocab_size": len(ranks) + len(CONTROL),
            "default_num_special_tokens": len(CONTROL),
            "version": "v7",
        },
        "vocab": [
            {"rank": rank, "token_bytes": base64.b64encode(token).decode(), "token_str": None}
            for rank, token in enumerate(ranks)
        ],
        "special_tokens": [
            {"rank": rank, "token_str": token, "is_control": True} for rank, token in enumerate(CONTROL)
        ],
    }
    (folder / "tekken.json").write_text(json.dumps(written))
    if request.param == "beside tokenizer.json":
        backend = load_tokenizer(str(folder), None).backend_tokenizer
        fast = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")
        fast.save_pretrained(folder)
    return folder


def test_what_is_installed_changes_nothing(tekken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for installed in (True, False):
        monkeypatch.setattr(
            "transformers.integrations.mistral.tokenizer.is_mistral_common_available", lambda found=installed: found
        )
        tokenizer, spec = load_tokenizer(str(tekken), None), resolve_model(str(tekken))
        documents = Encoder(tokenizer, spec, 40).encode(["the thing in the end", "a </s> b"])
        ids = [document.tolist() for document, _ in documents]
        found.append((type(tokenizer).__name__, spec, ids, special_ids(spec)))
    assert found[0] == found[1]
    name, spec, ids, special = found[0]
    assert name == "TokenizersBackend"
    assert (spec.bos_id, spec.eos_ids, spec.mapped) == (1, (2,), 256 + len(PIECES) + len(CONTROL))
    assert tokenizer.decode(ids[0][:-1]) == "the thing in the end" and ids[0][-1] == 2
    assert 2 not in ids[1][:-1]
    assert {1, 2} <= special
