"""What a card says of a model's licence where its outputs and what is trained on them are concerned: facts to check."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

FILE = "licences.toml"


def licence_paragraph(model: Mapping[str, Any]) -> str:
    """What is known of a model's licence, chosen by its Hub tag; of its training text, by its family.

    Args:
        model: `licence`, a Hub tag, None when unknown; `family`, which may be left out.
    """
    paragraphs = _paragraphs()
    licence = model.get("licence")
    if not licence:
        return str(paragraphs["unknown"])
    said = (paragraphs["licences"].get(str(licence).lower()), paragraphs["families"].get(model.get("family") or ""))
    return " ".join([f"Model licence: `{licence}`.", *(text for text in said if text)])


@cache
def _paragraphs() -> dict[str, Any]:
    return tomllib.loads((resources.files("data_cards") / FILE).read_text(encoding="utf-8"))
