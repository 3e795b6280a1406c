"""Presets: the models that have a short name, their settings and their shapes."""

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

DEFAULT_TOKENS = 50_000_000
MOST_TOKENS = 150_000_000
DEFAULT_CONTEXT = 512
STATE_BYTES = 4
QUANTISED_BYTES = {"8bit": 1.0, "4bit": 0.5625}
"""Of a quantised weight, its share of the scales included: in 4 bits one for 64."""


@dataclass(frozen=True)
class Shape:
    """What a plan needs to know of a model before its weights are there.

    Attributes:
        params: number of parameters.
        layers: decoder layers.
        d_model: width of the residual stream.
        kv_heads: key–value heads per layer.
        head_dim: width of a head.
        vocab: rows of the output matrix (padding included).
        positions: longest context, in tokens.
        cached: numbers that a token leaves in the cache, where layers, heads and width do not tell; else None.
        state: numbers that a row keeps whatever its length (state-space layers).
    """

    params: int
    layers: int
    d_model: int
    kv_heads: int
    head_dim: int
    vocab: int
    positions: int
    cached: int | None = None
    state: int = 0

    def kv_bytes_per_token(self, bytes_per_value: int) -> int:
        """Bytes that one token occupies in the key–value cache."""
        values = 2 * self.layers * self.kv_heads * self.head_dim if self.cached is None else self.cached
        return values * bytes_per_value

    def weight_bytes(self, bytes_per_value: int, load: str | None = None) -> int:
        """Bytes of the weights; quantised (`ModelSpec.load`) all but embedding and output, which are counted as two."""
        kept = min(self.params, 2 * self.vocab * self.d_model) if load else self.params
        return kept * bytes_per_value + round((self.params - kept) * (QUANTISED_BYTES[load] if load else 0))

    def row_bytes(self, bytes_per_value: int, tokens: float) -> int:
        """Bytes that a sample of `tokens` occupies in the cache; states are kept in float32 whatever the model's type."""
        return round(self.kv_bytes_per_token(bytes_per_value) * tokens) + STATE_BYTES * self.state


@dataclass(frozen=True)
class Preset:
    """Settings for one model.

    Attributes:
        name: short name, also the name of the run folder.
        source: Hub id, or the absolute path of the embedded model.
        family: `gpt2`, `pythia`, `gemma`, `llama` …: licence and caveat paragraphs of the cards.
        licence: Hub licence tag.
        dtype: type in which the model runs on a GPU.
        start: the token that samples begin with by the model's files, its id, and what it is where they name no BOS.
        context: tokens per context, BOS included.
        tokens: default corpus budget.
        layer, d_sae, k, lr: SAE settings (the paper's, or by rule).
        language: Hub language tag where it is known, else None.
        shape: see `Shape`.
    """

    name: str
    source: str
    family: str
    licence: str
    dtype: str
    start: str
    context: int
    tokens: int
    layer: int
    d_sae: int
    k: int
    lr: float
    language: str | None
    shape: Shape


class SaeDefaults(NamedTuple):
    """Settings of SAEs where neither they nor a preset's are stated, see `Preset`."""

    layer: int
    d_sae: int
    k: int
    lr: float


def sae_defaults(layers: int, d_model: int) -> SaeDefaults:
    """Settings where the paper has none: layer at two thirds, 8 × d_in latents, k 32, lr 2e-4/√(d_sae/2^14)."""
    d_sae = 8 * d_model
    return SaeDefaults(round(layers * 2 / 3), d_sae, 32, 2e-4 / math.sqrt(d_sae / 2**14))


def default_tokens(d_sae: int) -> int:
    """Corpus budget of a preset that states none: 5,000 tokens per latent to ten million, between 50 and 150 million."""
    return min(max(round(5_000 * d_sae, -7), DEFAULT_TOKENS), MOST_TOKENS)


def tiny_path() -> Path:
    """Folder of the embedded model."""
    return Path(str(resources.files("faithful.embedded") / "tiny" / "model"))


@cache
def presets() -> dict[str, Preset]:
    """All presets by name, in the order of the catalog."""
    with (resources.files("faithful.models") / "presets.toml").open("rb") as file:
        entries = tomllib.load(file)["models"]
    result = {}
    for name, entry in entries.items():
        shape = Shape(**entry["shape"])
        settings = sae_defaults(shape.layers, shape.d_model)._asdict() | entry
        result[name] = Preset(
            name=name,
            source=entry.get("hub") or str(tiny_path()),
            family=entry["family"],
            licence=entry["licence"],
            dtype=entry["dtype"],
            start=entry["start"],
            context=entry.get("context", DEFAULT_CONTEXT),
            tokens=int(entry.get("tokens") or default_tokens(settings["d_sae"])),
            layer=int(settings["layer"]),
            d_sae=int(settings["d_sae"]),
            k=int(settings["k"]),
            lr=float(settings["lr"]),
            language=entry.get("language"),
            shape=shape,
        )
    return result


def find_preset(model: str) -> Preset | None:
    """The preset that a name, a Hub id or the embedded model's path stands for, else None."""
    wanted = model.lower()
    for preset in presets().values():
        names = {preset.name.lower(), preset.source.lower()}
        if not Path(preset.source).is_absolute():
            names.add(preset.source.split("/")[-1].lower())
        if wanted in names:
            return preset
    return None


def called(model: str) -> str:
    """What people call a model: its preset's name, or what it is given by."""
    preset = find_preset(model)
    return preset.name if preset else model
