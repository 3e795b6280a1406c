"""What publishing costs, against a server on this machine: bytes of a second publication, commits, time beside upload_folder.

python -m benchmarks.bench_publish
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.hub.server import serving
from tests.hub.state import Hub

SHARDS, SHARD_BYTES, REPEATS = 100, 2 << 20, 11
TARGET = 1.1


def main() -> None:
    """Serve, then measure in this process (the client reads its environment when it is imported)."""
    hub = Hub()
    with serving(hub) as address, tempfile.TemporaryDirectory() as root:
        os.environ |= {
            "HF_ENDPOINT": address, "HF_TOKEN": "token", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HOME": f"{root}/home", "NO_PROXY": "127.0.0.1",
        }  # fmt: skip
        os.environ.pop("HF_HUB_OFFLINE", None)
        measure(hub, Path(root))


def measure(hub: Hub, root: Path) -> None:
    from huggingface_hub import HfApi

    from faithful.publish import PublishConfig, publish_corpus

    folder = large_corpus(root / "own", SHARDS)
    total = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    print(f"corpus: {SHARDS} train shards, {total / 1e6:.1f} MB")

    publish_corpus(PublishConfig(folder, "user/first"))
    repository = hub.repositories["dataset", "user/first"]
    print(f"first publication: {sum(hub.received.values()) / 1e6:.2f} MB, {len(repository.commits) - 1} commit")
    hub.received.clear()
    publish_corpus(PublishConfig(folder, "user/first"))
    print(f"unchanged: {sum(hub.received.values()):,} bytes in bodies, {len(repository.commits) - 1} commits in all")
    hub.received.clear()
    large_corpus(folder, SHARDS + 1)
    publish_corpus(PublishConfig(folder, "user/first"))
    sent = sum(hub.received.values())
    print(
        f"1 % grown: {sent / 1e6:.2f} MB ({sent / total:.2%} of the corpus), {len(repository.commits) - 1} commits in all"
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


def large_corpus(folder: Path, shards: int) -> Path:
    """A corpus of shards of about 2 MB each, which are the same however many there are."""
    import numpy as np

    from faithful.corpus import Document, Manifest, to_table, write_manifest, write_shard
    from generation.card import write_card
    from generation.identity import corpus_identity, model_provenance
    from generation.sampling import Sampling
    from tests.hub.things import CERTIFICATE, ENGINE, VOCAB, spec

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
