"""What users of a published corpus and grid do, in a process that knows the Hub from its environment alone.

python -m tests.faithful.hub.scenarios RUN      (HF_ENDPOINT is the server's address; prints JSON)
"""

import json
import sys
from pathlib import Path
from typing import Any

NAME = "user/things"


def main() -> None:
    run = Path(sys.argv[1])
    from datasets import load_dataset
    from huggingface_hub import HfApi
    from sae_lens import SAE
    from typer.testing import CliRunner

    from faithful.cli import app
    from faithful.models.presets import tiny_path
    from faithful.store.saes import find_saes

    def publish(*arguments: str) -> dict[str, Any]:
        done = CliRunner().invoke(app, ["publish", *arguments])
        return {"code": done.exit_code, "out": done.stdout, "err": done.stderr}

    dry = publish("run", str(run), NAME, "--dry-run")
    published = publish("run", str(run), NAME, "--accept-licence")
    alone = publish("corpus", str(run / "corpora" / "own"), "user/alone", "--json")
    again = publish("corpus", str(run / "corpora" / "own"), "user/alone")
    refused = publish("corpus", str(run / "corpora" / "web"), "user/web")
    sets = {name: load_dataset(name) for name in (NAME, "user/alone")}
    stream = load_dataset("user/alone", split="train", streaming=True)
    tagged = load_dataset(NAME, "own", revision="v1", split="test")
    sae = SAE.from_pretrained(NAME, "own/resid_pre.2-f32-k4/seed-42")
    HfApi().create_repo("user/model")
    HfApi().upload_folder(repo_id="user/model", folder_path=tiny_path())
    arguments = [
        "--tokens",
        "200",
        "--held-out",
        "200",
        "--certify-tokens",
        "0",
        "--max-tokens",
        "31",
        "--workers",
        "1",
    ]
    generated = CliRunner().invoke(
        app, ["generate", "--model", "user/model", "--out", str(run / "from-hub"), *arguments]
    )
    studied = CliRunner().invoke(app, ["study", "seeds", NAME, "--tokens", "500", "--out", str(run / "from-hub-seeds")])
    result = {
        "studied": {"code": studied.exit_code, "out": studied.stdout, "err": studied.stderr},
        "generated": {"code": generated.exit_code, "err": generated.stderr},
        "saes on the Hub": [sae.source for sae in find_saes([NAME])],
        "dry": dry,
        "published": published,
        "alone": alone,
        "again": again,
        "refused": refused,
        "rows": {name: {split: len(rows) for split, rows in found.items()} for name, found in sets.items()},
        "streamed": [row["token_ids"] for row in stream],
        "tagged": len(tagged),
        "sae": {"W_dec": list(sae.W_dec.shape), "k": sae.cfg.k, "sum": float(sae.W_dec.detach().sum())},
    }
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
