"""The flawed example beside the histogram of a card: `python -m benchmarks.makers.make_flawed_pit OUT.json`.

`tiny` samples at temperature 0.7, and the samples are scored as if they had been drawn at 1. The package has it as
`data_cards/flawed_pit.json`.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import faithful
from faithful.base.files import write_json

MODEL, TEMPERATURE, DECLARED, TOKENS = "tiny", 0.7, 1.0, 20_000


def flawed_pit(tokens: int = TOKENS) -> dict[str, object]:
    """The histogram, with what it is of."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "flawed"
        config = faithful.GenerateConfig(
            MODEL, tokens, 1_000, out, temperature=TEMPERATURE, device="cpu", certify_tokens=0
        )
        faithful.generate(config)
        found = faithful.certify(faithful.CertifyConfig(out, everything=True, as_temperature=DECLARED, device="cpu"))
    return {
        "model": MODEL,
        "temperature": TEMPERATURE,
        "declared": DECLARED,
        "tokens_scored": found["tokens_scored"],
        "pit_edges": found["pit_edges"],
        "pit_counts": found["pit_counts"],
    }


if __name__ == "__main__":
    write_json(Path(sys.argv[1]), flawed_pit())
