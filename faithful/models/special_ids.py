"""BOS and end-of-text: the ids that a model's files state.

A class of transformers has ids and strings of its own for both (Llama's config says 1 and 2), which mean nothing where the
files name none: there they may be ordinary tokens, or ones that loading has only now added to the vocabulary.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.models.files import optional_file, stated_json


@dataclass(frozen=True)
class SpecialIds:
    """What the files state, by the place where it stands, in the order in which it counts.

    Attributes:
        bos: ids to start from.
        eos: ids that end a text, one or several from each place.
    """

    bos: dict[str, int]
    eos: dict[str, list[int]]

    def start(self, given: int | None, source: str) -> tuple[int, str]:
        """The token to start from, and where it was found: the one given, a stated BOS, the first stated end-of-text.

        Raises:
            FaithfulError: there is none.
        """
        if given is not None:
            return given, "--bos"
        for place, one in self.bos.items():
            return one, place
        for place, several in self.eos.items():
            if several:
                return several[0], place
        raise FaithfulError(
            f"No file of {source} names a BOS or an end-of-text token to start from; give the id of a start token with"
            " --bos."
        )

    def ends(self, vocab_size: int) -> tuple[int, ...]:
        """Every end-of-text id inside the vocabulary, sorted."""
        return tuple(sorted({i for several in self.eos.values() for i in several if 0 <= i < vocab_size}))


def stated_ids(source: str, revision: str | None, config: Any, tokenizer: Any) -> SpecialIds:
    """Read BOS and end-of-text of a model from its tokenizer's files, config.json and generation_config.json.

    Args:
        source: Hub id or folder.
        revision: commit on the Hub, None for a folder.
        config: the loaded configuration.
        tokenizer: the loaded tokenizer.

    Raises:
        FaithfulError: a file that is no JSON object, an id that is no whole number.
    """
    generation = stated_json(source, "generation_config.json", revision)
    places: dict[str, Mapping[str, object]] = dict(
        _config_sections(stated_json(source, "config.json", revision), config)
    )
    places["generation_config"] = generation
    words = {role: _tokenizer_id(source, revision, tokenizer, role) for role in ("bos_token", "eos_token")}
    bos, eos = {}, {}
    if words["bos_token"] is not None:
        bos["tokenizer.bos_token_id"] = words["bos_token"]
    if words["eos_token"] is not None:
        eos["tokenizer.eos_token_id"] = [words["eos_token"]]
    for place, stated in places.items():
        first = next(iter(_ids(stated.get("bos_token_id"), place, source)), None)
        if first is not None:
            bos[f"{place}.bos_token_id"] = first
        eos[f"{place}.eos_token_id"] = _ids(stated.get("eos_token_id"), place, source)
    return SpecialIds(bos, eos)


def _config_sections(stated: Mapping[str, object], config: Any) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The parts of config.json that speak of text: the section of the language model where there is one, then the top."""
    text = config.get_text_config()
    if text is not config:
        for name, section in stated.items():
            if isinstance(section, dict) and getattr(config, name, None) is text:
                yield f"config.{name}", section
    yield "config", stated


def _tokenizer_id(source: str, revision: str | None, tokenizer: Any, role: str) -> int | None:
    """Id of the tokenizer's BOS or end-of-text, None where no file of its own names it or holds the token.

    A string that comes from the tokenizer's class counts where tokenizer.json marks it as a special token.
    """
    token = getattr(tokenizer, role)
    if token is None:
        return None
    stated = [
        stated_json(source, name, revision).get(role) for name in ("tokenizer_config.json", "special_tokens_map.json")
    ]
    named = {one.get("content") if isinstance(one, dict) else one for one in stated}
    path = optional_file(source, "tokenizer.json", revision)
    if path is not None:
        text = path.read_text(encoding="utf-8")
        if not any(json.dumps(token, ensure_ascii=escaped) in text for escaped in (False, True)):
            return None
        named |= _marked_special(text)
    return int(tokenizer.convert_tokens_to_ids(token)) if token in named else None


def _marked_special(text: str) -> set[str]:
    """Strings of the special tokens among `added_tokens` of a tokenizer.json; the rest of it, megabytes, is not parsed."""
    try:
        tokens = json.JSONDecoder().raw_decode(text, text.index("[", text.index('"added_tokens"')))[0]
        return {token["content"] for token in tokens if token.get("special")}
    except (ValueError, TypeError, KeyError, AttributeError):
        return set()


def _ids(value: Any, place: str, source: str) -> list[int]:
    """The ids that a field states: none, one or several."""
    several = value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(one) is int for one in several):
        raise FaithfulError(f"{place}.json of {source} states a token id that is no whole number ({str(value)[:40]}).")
    return several
