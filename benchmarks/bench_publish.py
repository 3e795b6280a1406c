"""What publishing costs, against a server on this machine: bytes of a second publication, commits, time beside upload_folder.

python -m benchmarks.bench_publish      (adds a line to results/publish.jsonl)
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.shared import RESULTS, machine, write_unit
from tests.faithful.hub.server import serving
from tests.faithful.hub.state import Hub

SHARDS, SHARD_BYTES, REPEATS = 100, 2 << 20, 11
TARGET = 1.1
FILE = RESULTS / "publish.jsonl"


def main() -> None:
    """Serve, then measure in this process (the client reads its environment when it is imported)."""
    hub = Hub()
    with serving(hub) as address, tempfile.TemporaryDirectory() as root:
        os.environ |= {
            "HF_ENDPOINT": address, "HF_TOKEN": "token", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HOME": f"{root}/home", "NO_PROXY": "127.0.0.1",
        }  # fmt: skip
        os.environ.pop("HF_HUB_OFFLINE", None)
        found = measure(hub, Path(root))
    key = {"shards": SHARDS, "shard_bytes": SHARD_BYTES, "repeats": REPEATS}
    at = time.strftime("%Y-%m-%d %H:%M")
    write_unit(
        FILE, {"key": key, "result": found, "machine": machine(), "load": round(os.getloadavg()[0], 2), "at": at}
    )


def measure(hub: Hub, root: Path) -> dict[str, Any]:
    """Publish, publish again, grow by one shard, and time whole publications in turn with `upload_folder`.

    Returns:
        the figures: bytes in the bodies of requests, numbers of commits, seconds, and the median ratio of the pairs.
    """
    from huggingface_hub import HfApi

    from faithful.hub.config import PublishConfig
    from studies.runs.publish import publish_corpus

    folder = large_corpus(root / "own", SHARDS)
    total = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    print(f"corpus: {SHARDS} train shards, {total / 1e6:.1f} MB")

    publish_corpus(PublishConfig(folder, "user/first"))
    repository = hub.repositories["dataset", "user/first"]
    found: dict[str, Any] = {"corpus_bytes": total, "first_bytes": sum(hub.received.values())}
    print(f"first publication: {found['first_bytes'] / 1e6:.2f} MB, {len(repository.commits) - 1} commit")
    hub.received.clear()
    publish_corpus(PublishConfig(folder, "user/first"))
    found |= {"unchanged_bytes": sum(hub.received.values()), "commits_unchanged": len(repository.commits) - 1}
    print(f"unchanged: {found['unchanged_bytes']:,} bytes in bodies, {found['commits_unchanged']} commits in all")
    hub.received.clear()
    large_corpus(folder, SHARDS + 1)
    publish_corpus(PublishConfig(folder, "user/first"))
    found |= {"grown_bytes": sum(hub.received.values()), "commits_grown": len(repository.commits) - 1}
    print(
        f"1 % grown: {found['grown_bytes'] / 1e6:.2f} MB ({found['grown_bytes'] / total:.2%} of the corpus),"
        f" {found['commits_grown']} commits in all"
    )

    plain = root / "plain"
    shutil.copytree(folder, plain, ignore=shutil.ignore_patterns(".lock", "log.jsonl"))
    api, ours, theirs = HfApi(), [], []
    for turn in range(REPEATS):
        began = time.perf_counter()
        publish_corpus(PublishConfig(folder, f"user/ours{turn}"))
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        api.create_repo(f"user/theirs{turn}", repo_type="dataset")
        api.upload_folder(repo_id=f"user/theirs{turn}", folder_path=plain, repo_type="dataset")
        theirs.append(time.perf_counter() - began)
        commits = len(hub.repositories["dataset", f"user/theirs{turn}"].commits) - 1
        hub.repositories.clear()
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    print(
        f"whole publication: {statistics.median(ours):.2f} s; upload_folder: {statistics.median(theirs):.2f} s in {commits}"
        f" commits; median ratio of {REPEATS} pairs {ratio:.2f} (target at most {TARGET:g}:"
        f" {'met' if ratio <= TARGET else 'missed'})"
    )
    return found | {"seconds": ours, "upload_folder_seconds": theirs, "upload_folder_commits": commits, "ratio": ratio}


def large_corpus(folder: Path, shards: int) -> Path:
    """A corpus of shards of about 2 MB each, which are the same however many there are."""
    import numpy as np

    from faithful.store.corpus import Document, Manifest, to_table, write_manifest
    from faithful.store.shard_files import write_shard
    from generation.cards.card import write_card
    from generation.sampling.distribution import Sampling
    from generation.writing.identity import corpus_identity, model_provenance
    from tests.faithful.hub.things import CERTIFICATE, ENGINE, VOCAB, spec

    model = spec()
    manifest = Manifest(
        "own",
        "own",
        corpus_identity(model, Sampling(max_tokens=127), 7, ENGINE),
        {"model": model_provenance(model), "generation_config_not_applied": {}},
        {"train": 1, "test": 1},
        certificate=CERTIFICATE,
    )
    rows, length = 128, SHARD_BYTES // (128 * 6)
    for split, count in (("train", shards), ("test", 1)):
        for number in range(count):
            draw = np.random.default_rng([number, split == "test"])
            documents = []
            for row in range(number * rows, (number + 1) * rows):
                ids, logs = draw.integers(1, VOCAB, length).tolist(), draw.normal(size=length).tolist()
                documents.append(Document(row, 0, ids, "length", logs))
            table = to_table(documents, [f"document {document.index}" for document in documents], VOCAB)
            manifest.shards[split].append(write_shard(folder, split, number, table, {}))
    manifest.statistics = {"documents": manifest.rows(), "tokens": manifest.tokens()}
    write_manifest(folder, manifest)
    write_card(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
