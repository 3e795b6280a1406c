"""What a card says of a model's licence where its outputs and what is trained on them are concerned: facts to check."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, TypedDict, cast

FILE = "licences.toml"


class _Paragraphs(TypedDict):
    unknown: str
    names: dict[str, str]
    licences: dict[str, str]
    families: dict[str, str]


def stated_licence(card: Any) -> str | None:
    """The licence tag of a card's metadata, several as `mit + apache-2.0`; None where it states none: never guessed."""
    licence = getattr(card, "license", None)
    tags: list[Any] = licence if isinstance(licence, list) else [licence]
    return " + ".join(tags) if tags and all(isinstance(tag, str) and tag for tag in tags) else None


def licence_paragraph(model: Mapping[str, Any]) -> str:
    """What is known of a model's licence, by its Hub tag, else by the model's name; of its training text, by its family.

    Args:
        model: `licence`, a Hub tag, None when unknown; `name` and `family`, which may be left out.
    """
    paragraphs = _paragraphs()
    licence = model.get("licence")
    if not licence:
        name = str(model.get("name") or "").split("/")[-1].lower()
        likely = next((tag for tag, form in paragraphs["names"].items() if re.search(form, name)), None)
        said = f" By its name the model may be under `{likely}`. {paragraphs['licences'][likely]}" if likely else ""
        return f"{paragraphs['unknown']}{said}"
    about = (paragraphs["licences"].get(str(licence).lower()), paragraphs["families"].get(model.get("family") or ""))
    return " ".join([f"Model licence: `{licence}`.", *(text for text in about if text)])


@cache
def _paragraphs() -> _Paragraphs:
    found = tomllib.loads((resources.files("data_cards") / FILE).read_text(encoding="utf-8"))
    return cast(_Paragraphs, found)
