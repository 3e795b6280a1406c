"""The card of a corpus as it stands on the Hub, where its figures and places are others than here."""

import shlex
from pathlib import Path
from uuid import uuid4

from faithful.hub.card_file import wrapped
from faithful.store.corpus import Corpus


def corpus_card(
    corpus: Corpus, name: str, config: str | None = None, section: str = "", root: Path | None = None
) -> str:
    """The card of a corpus as it reads on the Hub; nothing on disk is changed.

    Args:
        corpus: the corpus; what people wrote into its README.md is kept.
        name: `USER/REPO`.
        config: name of its config where the repository holds several corpora, which is also its folder there.
        section: Markdown to add at the end of the generated part.
        root: the folder that is published, by default the corpus' own.

    Raises:
        FaithfulError: see `wrapped`.
    """
    from faithful.hub.templates import latex
    from generation.cards.own import digest, metadata, render

    shown = _Elsewhere(corpus, f"address-{uuid4().hex}")
    place = f"{name}/{config}" if config else name
    loaded = f'"{name}", "{config}"' if config else f'"{name}"'
    out = shlex.quote(corpus.name)
    fetch = f"faithful corpus add {name}" + (f" --config {shlex.quote(config)}" if config else "") + f" --out {out}"
    export = f"faithful corpus export {out} --context"
    text = render(shown)
    for here, there in (
        (f'"{shown.name}/', f'"hf://datasets/{place}/'),
        (f'"{shown.name}"', loaded),
        (f"faithful train --corpus {shown.name}", f"{fetch}\nfaithful train --corpus {out}"),
        (f"`faithful corpus export {shown.name} --context", f"`{fetch}`, then `{export}"),
        (f"faithful corpus export {shown.name} --context", f"{fetch}\n{export}"),
        (f"{{Data set {shown.name}}}", f"{{Data set {latex(place)} on the Hub}}"),
    ):
        text = text.replace(here, there)
    text = "\n\n".join(filter(None, (text.strip(), section.strip())))
    return wrapped(metadata(shown), text, corpus.folder / "README.md", root, digest(corpus.manifest))


class _Elsewhere(Corpus):
    """A corpus that goes by another name, so that the places where a card names it are known."""

    def __init__(self, corpus: Corpus, name: str) -> None:
        self.folder, self.manifest, self._name = corpus.folder.resolve(), corpus.manifest, name

    @property
    def name(self) -> str:
        return self._name
