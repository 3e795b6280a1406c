"""What is uploaded of a latent, in the words of Neuronpedia's client, and what its SAE is called there."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.hooks.hook import Hook
from faithful.store.saes import TrainedSae
from studies.browse.contexts import Context
from studies.browse.reading import Pages, Shown

KINDS = {"resid_pre": "res", "resid_post": "res", "attn_out": "att", "mlp_out": "mlp"}
"""How hooks are called in the names of source sets."""
LONGEST_EXPLANATION = 512
NUL, NOTHING = "␀", "∅"
"""What is sent for the character that the server's database cannot hold, and for a token without any, which it refuses."""


def is_silent(record: Mapping[str, Any]) -> bool:
    """Whether no context of a latent was found: the server takes no latents without one."""
    return not record["top"] and not any(record["fifths"])


def explanations(said: Mapping[str, str], method: str | None) -> dict[int, dict[str, Any]]:
    """Explanations by latent as the server takes them, those that are not empty.

    Who explained is not said: the server's code hands it to its database by a name that this has not.

    Args:
        said: what the pages show.
        method: what Neuronpedia calls the way in which they were explained.
    """
    words = {int(latent): _shortened(" ".join(text.split())) for latent, text in said.items()}
    return {latent: {"text": text, "methodName": method, "modelName": None} for latent, text in words.items() if text}


def feature(
    pages: Pages, latent: int, record: Mapping[str, Any], density: float, explanation: Mapping[str, Any] | None
) -> dict[str, Any]:
    """A latent as one of the `features` of a request.

    Its strongest contexts come without a quantile; those of each fifth with the largest and the smallest of their peaks,
    which are those of the whole fifth, and the share of the contexts shown that are of it: about a fifth, and exact where
    the latent fires in up to 25.

    Args:
        pages: of its SAE.
        latent: its index.
        record: what the pages have of it.
        density: share of tokens on which it fires.
        explanation: what it is said to stand for.
    """

    def shown(contexts: Sequence[Context]) -> list[Shown]:
        return [pages.shown(one, record["max"]) for one in contexts]

    found = [_activation(one) for one in shown(record["top"])]
    every = sum(map(len, record["fifths"]))
    for part in map(shown, record["fifths"]):
        if part:
            peaks = [one.largest for one in part]
            found += [_activation(one, max(peaks), min(peaks), round(len(part) / every, 4)) for one in part]
    return {
        "index": latent,
        "density": density,
        "activations": found,
        "explanations": [] if explanation is None else [explanation],
        "topLogits": _logits(pages, record.get("up")),
        "bottomLogits": _logits(pages, record.get("down")),
    }


def model_id(name: str) -> str:
    """The id of a model by its name here: the last part of it."""
    return slug(name.rstrip("/").rpartition("/")[2]) or "model"


def set_names(saes: Sequence[TrainedSae], prefix: str) -> list[str]:
    """Names of their source sets, one SAE each: as `demo-own-res-512-s0`, and with the shape where several were called so.

    Raises:
        FaithfulError: an SAE whose layer is not known, or two that cannot be told apart.
    """
    for sae in saes:
        hook_of(sae)
    plain = [f"{KINDS.get(hook_of(sae).kind, hook_of(sae).module)}-{sae.d_sae}" for sae in saes]
    found = [_named(prefix, sae, middle) for sae, middle in zip(saes, plain, strict=True)]
    often = Counter(found)
    found = [_named(prefix, sae, sae.shape) if often[name] > 1 else name for sae, name in zip(saes, found, strict=True)]
    if again := [name for name, count in Counter(found).items() if count > 1]:
        raise FaithfulError(f"Two SAEs would both be called {again[0]}; name one of them with --sae.")
    return found


def check_model_id(name: str) -> None:
    """Hold a model's id to Neuronpedia's rules.

    Raises:
        FaithfulError: it does not keep them.
    """
    if not re.fullmatch(r"[a-z][a-z0-9.-]{0,30}[a-z0-9]", name) or "--" in name or ".." in name:
        raise FaithfulError(
            f"'{name}' cannot be a model's id at Neuronpedia: 2 to 32 small letters, digits, single hyphens and dots, from a"
            " letter to a letter or digit; state --model-id."
        )


def check_set_name(name: str) -> None:
    """The same for the name of a source set."""
    if not re.fullmatch(r"[a-z][a-z0-9-]*[a-z0-9]", name) or "--" in name:
        raise FaithfulError(
            f"'{name}' cannot be the name of a source set at Neuronpedia, which begins with a letter; state --name."
        )


def hook_of(sae: TrainedSae) -> Hook:
    """What an SAE reads.

    Raises:
        FaithfulError: it is not known.
    """
    if sae.hook is None:
        raise FaithfulError(f"The layer that {sae.source} reads is not known; leave it out with --sae.")
    return sae.hook


def slug(text: str) -> str:
    """A name of small letters, digits and hyphens."""
    return re.sub(r"\.+", ".", re.sub(r"[^a-z0-9.]+", "-", text.lower())).strip("-.")


def _named(prefix: str, sae: TrainedSae, middle: str) -> str:
    seed = "" if sae.seed is None else f"s{sae.seed}"
    return "-".join(part for part in map(_plain, (prefix, sae.corpus, middle, seed)) if part)


def _plain(text: str) -> str:
    return re.sub(r"-+", "-", slug(text).replace(".", "-"))


def _shortened(text: str) -> str:
    """A text as far as the server takes it, which counts what its language does: characters beyond U+FFFF twice."""
    text = text.replace("\0", NUL)
    units = text.encode("utf-16-le")
    if len(units) <= 2 * LONGEST_EXPLANATION:
        return text
    return units[: 2 * (LONGEST_EXPLANATION - 1)].decode("utf-16-le", "ignore") + "…"


def _token(text: str) -> str:
    return text.replace("\0", NUL) or NOTHING


def _activation(
    shown: Shown, most: float | None = None, least: float | None = None, share: float | None = None
) -> dict[str, Any]:
    return {
        "tokens": [_token(one) for one in shown.tokens],
        "values": shown.values,
        "quantileMax": most,
        "quantileMin": least,
        "quantileFraction": share,
    }


def _logits(pages: Pages, effects: Sequence[Any] | None) -> list[dict[str, Any]] | None:
    if effects is None:
        return None
    return [{"token": _token(pages.strings[one]), "value": value} for one, value in zip(*effects, strict=True)]
