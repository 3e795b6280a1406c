"""What every finished corpus gets: statistics, a certificate and a picture of it where it is the model's own, and a card."""

import contextlib
import os
from pathlib import Path

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.base.progress import Reporter, silent
from faithful.store.corpus import MANIFEST, Corpus, read_manifest, write_manifest
from faithful.store.manifest_parts import Described, Statistics
from generation.cards.card import card_is_current, write_card
from generation.cards.parts import figures_beside
from generation.certificate.certify import certify
from generation.configs.certify import CertifyConfig
from generation.scoring.kept_sums import forget_sums
from generation.writing.identity import sampling_of
from generation.writing.statistics import corpus_statistics
from generation.writing.train_test_duplicates import shared_grams, train_test_duplicates


def describe(
    folder: Path, certify_tokens: int | None = None, report: Reporter = silent, *, device: str | None = None
) -> bool:
    """Compute what the manifest lacks for the present tokens and write the card; whether anything was missing.

    Args:
        folder: the corpus. One that is not the model's own gets no certificate.
        certify_tokens: see `CertifyConfig.tokens`; 0 leaves the certificate out.
        report: progress.
        device: where to score.
    """
    manifest = read_manifest(folder)
    wants_certificate = manifest.kind == "own" and certify_tokens != 0 and not sampling_of(manifest).deterministic
    missing_certificate = manifest.certificate is None and wants_certificate
    if manifest.certificate is not None:  # a run may have been killed after it had stored the certificate
        forget_sums(folder, since=(folder / MANIFEST).stat().st_mtime)
    if manifest.statistics is not None and not missing_certificate and card_is_current(folder):
        return False
    if manifest.statistics is None:
        corpus = Corpus(folder)
        _store(corpus, _statistics(corpus))
    if missing_certificate:
        certify(CertifyConfig(folder, tokens=certify_tokens, device=device), report)
    write_card(folder)
    return True


def statistics_of(folder: Path) -> Described:
    """Statistics of a corpus: from its manifest where they are present, else computed, and stored where that is possible.

    The figures that need the model stand beside them once the corpus is certified. `stored` is whether the manifest has
    them: not that of a folder that cannot be written, that another process is writing, or that has changed meanwhile.

    Raises:
        FaithfulError: no corpus, one without tokens, a damaged shard.
    """
    corpus = Corpus(folder)
    statistics, stored = corpus.manifest.statistics, True
    if statistics is None:
        statistics, stored = _statistics(corpus), False
        with contextlib.suppress(FaithfulError):
            stored = _store(corpus, statistics)
    return {**statistics, **figures_beside(corpus.manifest.certificate), "stored": stored}


def _statistics(corpus: Corpus) -> Statistics:
    """The figures of the training split (docs/metrics.md, "Corpus").

    A corpus that is not the model's own also gets `across`: see `train_test_duplicates` and `shared_grams`.
    """
    if corpus.tokens() == 0:
        raise FaithfulError(f"{corpus.folder} holds no tokens yet; run the command that makes it again to fill it.")
    statistics = corpus_statistics(corpus, vocab_size=corpus.manifest.identity["model"]["vocab_size"])
    if corpus.manifest.kind != "own":
        statistics["across"] = train_test_duplicates(corpus) | {"shared_grams": shared_grams(corpus)}
    return statistics


def _store(corpus: Corpus, statistics: Statistics) -> bool:
    """Put figures of an opened corpus into its manifest, unless it cannot be written or holds other shards by now."""
    if not os.access(corpus.folder, os.W_OK):
        return False
    with folder_lock(corpus.folder):
        manifest = read_manifest(corpus.folder)
        if manifest.shards != corpus.manifest.shards:
            return False
        manifest.statistics = statistics
        write_manifest(corpus.folder, manifest)
    return True
