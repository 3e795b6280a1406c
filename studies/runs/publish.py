"""Corpora, SAEs and runs to the Hub: what `faithful publish` does."""

from pathlib import Path

from faithful.base.errors import FaithfulError
from faithful.base.progress import Reporter, silent
from faithful.hub.config import PublishConfig
from faithful.hub.plan import Bundle
from faithful.hub.publish import Publication, publish_bundles
from faithful.hub.repository import Repository
from faithful.store.corpora_of_saes import NAME
from faithful.store.places import corpora_of, studies_of
from studies.runs.bundles import corpus_bundle, grid_folder, run_bundles, saes_bundle


def publish_corpus(config: PublishConfig, report: Reporter = silent, *, dry_run: bool = False) -> Publication:
    """Publish a corpus as a data set: shards, manifest and card in one commit, checked, tagged.

    Running it again completes what was interrupted, or does nothing.

    Raises:
        FaithfulError: no finished corpus there, no right to write, terms not accepted, a repository made by others, a Hub
            that gave up; in one sentence, and main holds the whole publication or what it held before.
    """
    return publish_bundles(
        config, lambda: [corpus_bundle(config.path, config.name)], lambda: [config.path], report, dry_run
    )


def publish_saes(config: PublishConfig, report: Reporter = silent, *, dry_run: bool = False) -> Publication:
    """Publish a grid of SAEs as a model repository that SAELens loads from; see `publish_corpus`.

    Raises:
        FaithfulError: no SAEs there, or as `publish_corpus`.
    """
    return publish_bundles(
        config,
        lambda: [saes_bundle(config.path, config.name)],
        lambda: _grids(grid_folder(config.path)),
        report,
        dry_run,
    )


def publish_run(config: PublishConfig, report: Reporter = silent, *, dry_run: bool = False) -> Publication:
    """Publish a run: its corpora as the data set USER/REPO, its SAEs and results as the model USER/REPO.

    Running it again completes whichever is missing.

    Raises:
        FaithfulError: nothing to publish there, or as `publish_corpus`.
    """

    def bundles() -> list[Bundle]:
        if not config.path.is_dir():
            raise FaithfulError(f"There is no run {config.path}; name the folder of one.")
        endpoint = Repository(config.name, "model").api.endpoint
        found = run_bundles(config.path, config.name, include_external=config.include_external, endpoint=endpoint)
        return [bundle for bundle in (found.dataset, found.model) if bundle]

    def locked() -> list[Path]:
        return [config.path, *corpora_of(config.path), *_grids(config.path / "saes"), *studies_of(config.path)]

    return publish_bundles(config, bundles, locked, report, dry_run)


def _grids(saes: Path) -> list[Path]:
    """A folder of SAEs, and those that training locks: in it, or above it where it is a part of a grid."""
    above = [place for place in saes.resolve().parents[:3] if (place / NAME).is_file()]
    return sorted({saes, *above, *(path.parent for path in saes.rglob(NAME))})
