"""The files of a causal LM: the revision they stand at, their configuration, and what a broken one is told.

Everything here works on Hub ids and on local folders; nothing runs a repository's own code.
"""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError, one_line
from faithful.base.files import sha256_file
from faithful.base.suggest import did_you_mean
from faithful.hub.errors import UnreachableError, first_line
from faithful.hub.licences import stated_licence
from faithful.hub.reachable import hub_problem
from faithful.hub.repository import Repository
from faithful.models.presets import find_preset, presets

_told: set[tuple[str, str]] = set()
"""Models and commits that the Hub told of: what it does not answer for is not known to be missing there."""


def load_config(source: str, revision: str | None) -> Any:
    """The configuration of a model.

    Raises:
        FaithfulError: it cannot be read, or is of a kind that transformers does not know.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
    except Exception as error:
        raise FaithfulError(f"Cannot load the config of {source}: {one_line(error)}.") from error


def stated_json(source: str, name: str, revision: str | None) -> dict[str, Any]:
    """A JSON file of the model's as it stands, {} when there is none.

    Raises:
        FaithfulError: it cannot be reached, or is no JSON object.
    """
    path = optional_file(source, name, revision)
    return {} if path is None else read_model_json(path)


def optional_file(source: str, name: str, revision: str | None) -> Path | None:
    """A file of the model's on this machine, None where the model has none (or, without a network or a login, the cache).

    Raises:
        FaithfulError: the Hub does not answer for it, though it told of the commit, or does not give the model's files
            without a login.
    """
    if Path(source).is_dir():
        path = Path(source) / name
        return path if path.exists() else None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError

    cached = try_to_load_from_cache(source, name, revision=revision)
    if cached is not None:
        return Path(cached) if isinstance(cached, str) else None
    try:
        return Repository(source, "model").find(name, revision)
    except UnreachableError:
        if (source, revision) in _told:
            raise
        return None
    except FaithfulError as error:  # the Hub tells everybody a gated model's commit, and nobody its files
        is_gated = isinstance(error.__cause__, GatedRepoError)
        if is_gated and isinstance(try_to_load_from_cache(source, "config.json", revision=revision), str):
            return None  # somebody who has a login fetched it: what is here is what there is, as without a network
        raise


def read_model_json(path: Path) -> dict[str, Any]:
    """A JSON object among a model's files.

    Raises:
        FaithfulError: it is none, or nested without end.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        raise FaithfulError(f"{path} is no valid JSON ({one_line(error)}); download the model again.") from error


def folder_name(folder: Path) -> str:
    """Name of a local model: the folder's, told apart from a preset of that name."""
    name = folder.resolve().name
    return f"local/{name}" if find_preset(name) else name


def folder_revision(folder: Path) -> str:
    """SHA-256 over names and contents of the files that decide what a local model samples."""
    files = sorted(
        path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin", ".json", ".model", ".txt")
    )
    if not any(path.name == "config.json" for path in files):
        raise FaithfulError(f"{folder} holds no config.json; give the folder of a Hugging Face causal LM.")
    lines = "".join(f"{path.name} {hash_once(path)}\n" for path in files)
    return "sha256:" + hashlib.sha256(lines.encode()).hexdigest()


def hash_once(file: Path) -> str:
    """SHA-256 of a file, read once per process while it stays what it is."""
    stat = file.stat()
    return _hash(file, (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))


@cache
def _hash(file: Path, _stamp: tuple[int, ...]) -> str:
    return sha256_file(file)


def hub_revision(repo: str, revision: str | None) -> tuple[str, str | None]:
    """Commit sha of a Hub revision, and the licence tag that it states; without a network those of the local cache, no tag.

    Raises:
        FaithfulError: gated or missing, no such revision, neither the Hub nor the cache has it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    reason = hub_problem()
    if reason is None:
        hub = Repository(repo, "model")
        try:
            info = hub.patiently(hub.api.model_info, repo, revision=revision)
            if info.sha:
                _told.add((repo, info.sha))
                return info.sha, stated_licence(info.card_data)
        except Exception as error:  # what is not of the client passes `patiently`, such as an answer that is no JSON
            cause = error.__cause__ or error
            if isinstance(cause, RepositoryNotFoundError) and not isinstance(cause, GatedRepoError):
                raise FaithfulError(f"{error} {_short_names(repo)}") from cause
            if isinstance(cause, RepositoryNotFoundError | RevisionNotFoundError):
                raise
            reason = first_line(cause)
    try:
        path = snapshot_download(repo, revision=revision, local_files_only=True, allow_patterns=["config.json"])
        return Path(path).name, None
    except Exception as error:
        raise FaithfulError(
            f"Cannot reach the Hub for '{repo}' ({reason}) and it is not in the local cache; connect, or give a folder"
            + (f"; {_short_names(repo)}" if find_preset(repo) is None else ".")
        ) from error


def _short_names(model: str) -> str:
    """Where the short names are, and the one that a name without a preset may stand for."""
    return f"`faithful models` lists the short names.{did_you_mean(model.split('/')[-1], presets())}"
