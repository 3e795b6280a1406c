"""The files of a Hub set: those in its own repository, and none that its card names elsewhere.

A card may name any address for the files of a configuration, and the `datasets` library asks there as soon as the set is
opened. So the card is read first.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError

_CARD, _SETTINGS = "README.md", ".huggingface.yaml"
_PLACES = ("data_files", "data_dir")


def refuse_foreign_files(repo: str, revision: str | None) -> None:
    """Read the card of a set, and its `.huggingface.yaml`, and make sure that they name files of the repository alone.

    Connection errors pass through.

    Raises:
        FaithfulError: a configuration names an address, an archive inside another file, an absolute path or one that leads
            out of the repository; names it.
    """
    import yaml
    from huggingface_hub import DatasetCard

    card, settings = _fetched(repo, _CARD, revision), _fetched(repo, _SETTINGS, revision)
    stated: list[Any] = []
    if card is not None:
        try:
            stated.append(DatasetCard.load(str(card)).data.to_dict())
        except (ValueError, TypeError, yaml.YAMLError) as error:
            reason = str(error).splitlines()[0]
            raise FaithfulError(f"The card of {repo} cannot be read ({reason}); choose another --revision.") from None
    if settings is not None:
        stated.append(yaml.safe_load(settings.read_text(encoding="utf-8")))
    for metadata in stated:
        configs = metadata.get("configs") if isinstance(metadata, dict) else None
        for config in configs if isinstance(configs, list) else []:
            for place in _places(config if isinstance(config, dict) else {}):
                _refuse_outside(repo, place)


def refuse_other_files(repo: str, revision: str, files: Iterator[str]) -> None:
    """Make sure that the files which a set was opened with lie in its repository.

    Raises:
        FaithfulError: one does not; names it.
    """
    for file in files:
        inside = f"hf://datasets/{repo}@{revision}/"
        if not file.split("::")[-1].startswith(inside) or ".." in file.split("/"):
            raise _foreign(repo, file)


def _fetched(repo: str, name: str, revision: str | None) -> Path | None:
    """A file of a set, None where it has none of the name."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repo, name, repo_type="dataset", revision=revision))
    except LocalEntryNotFoundError:
        raise
    except EntryNotFoundError:
        return None


def _places(config: Mapping[str, object]) -> Iterator[str]:
    """Every path that a configuration states, and every address wherever it stands."""
    for key, value in config.items():
        texts = list(_texts(value))
        yield from texts if key in _PLACES else (text for text in texts if key != "description" and "://" in text)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _refuse_outside(repo: str, place: str) -> None:
    parts = place.replace("\\", "/").split("/")
    if "::" in place or ":" in parts[0] or place.startswith(("/", "\\", "~")) or ".." in parts:
        raise _foreign(repo, place)


def _foreign(repo: str, place: str) -> FaithfulError:
    return FaithfulError(
        f"The card of {repo} names '{place[:200]}', which is no file of its repository, and nothing was asked there; fetch"
        " that file yourself and give its path, or choose another set."
    )
