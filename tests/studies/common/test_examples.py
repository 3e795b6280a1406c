"""Examples of latents: contexts, partners in another SAE, and the columns of the file."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import torch

from studies.common.codes import CodedText, Codes
from studies.common.examples import Partner, latent_examples, write_examples

TOKENIZER = SimpleNamespace(decode=lambda ids: f"t{ids[0]}")


def coded() -> CodedText:
    """Two contexts of three tokens; latent 1 of the first SAE is strongest on 12, latent 0 of the second on 21."""
    rows = [np.array([0, 10, 11, 12]), np.array([0, 20, 21, 22])]
    first = [(0.0, 1), (0.5, 1), (2.0, 1), (1.0, 1), (0.0, 1), (0.0, 1)]
    second = [(0.0, 0), (0.0, 0), (0.1, 0), (0.0, 0), (3.0, 0), (0.0, 0)]
    codes = [
        Codes(torch.tensor([[value] for value, _ in one]), torch.tensor([[latent] for _, latent in one]), 3)
        for one in (first, second)
    ]
    return CodedText(rows, np.array([0, 0, 0, 1, 1, 1]), np.array([1, 2, 3, 1, 2, 3]), codes)


def test_partners_come_with_their_own_contexts(tmp_path: Path) -> None:
    """Row by row the next context of both."""
    partners = {1: Partner(1, "own", 4, 0, 0.91234), 0: Partner(1, "own", None, 2, -0.1)}
    block = latent_examples(
        "shown", [1, 2], {1: "one", 2: "two"}, coded(), 0, ["prose", "stdlib"], np.array([0, 1]), TOKENIZER,
        partners=partners,
    )  # fmt: skip
    row, second = block["rows"]
    assert (row["latent"], row["corpus"], row["tokens"]) == (1, "prose", ["t10", "t11", "t12"])
    assert (row["partner_corpus"], row["partner_seed"], row["partner_latent"], row["partner_cosine"]) == (
        "own", 4, 0, 0.9123,
    )  # fmt: skip
    assert (row["partner_text"], row["partner_tokens"], row["partner_values"]) == (
        "stdlib", ["t20", "t21", "t22"], [0.0, 3.0, 0.0],
    )  # fmt: skip
    assert (second["latent"], second["corpus"], second["values"]) == (1, "stdlib", [1.0, 0.0, 0.0])
    assert (second["partner_text"], second["partner_values"]) == ("prose", [0.0, 0.0, 0.1])
    silent = latent_examples(
        "silent", [1], {1: "one"}, coded(), 0, ["prose", "stdlib"], np.array([0, 1]), TOKENIZER,
        partners={1: Partner(1, "own", None, 2, 0.1)},
    )  # fmt: skip
    assert silent["rows"][0]["partner_tokens"] == [] and silent["rows"][0]["partner_text"] is None
    plain = latent_examples("plain", [1], {1: "one"}, coded(), 0, ["prose", "stdlib"], np.array([0, 1]), TOKENIZER)
    write_examples(tmp_path / "examples.parquet", [block, silent, plain])
    table = pl.read_parquet(tmp_path / "examples.parquet")
    assert table["partner_latent"].to_list() == [0, 0, 2, 2, None, None]
    assert table["partner_tokens"].to_list()[::2] == [["t20", "t21", "t22"], [], None]


def test_the_five_strongest_contexts_are_shown() -> None:
    """However many tokens of one excite the latent."""
    length, strengths = 300, (1.0, 6.0, 3.0, 2.0, 4.0, 5.0)
    rows = [np.arange(length + 1) for _ in strengths]
    values = torch.tensor(strengths).repeat_interleave(length)[:, None]
    codes = Codes(values, torch.zeros(len(values), 1, dtype=torch.int32), 1)
    owners = np.repeat(np.arange(len(strengths)), length)
    text = CodedText(rows, owners, np.tile(np.arange(1, length + 1), len(strengths)), [codes])
    block = latent_examples("shown", [0], {0: ""}, text, 0, list("abcdef"), np.arange(6), TOKENIZER)
    assert [(row["corpus"], max(row["values"])) for row in block["rows"]] == [
        ("b", 6.0), ("f", 5.0), ("e", 4.0), ("c", 3.0), ("d", 2.0),
    ]  # fmt: skip
