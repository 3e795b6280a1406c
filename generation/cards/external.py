"""The card of a corpus that was not sampled: brought in from a source, or derived from other corpora."""

from typing import Any

from faithful.hub.templates import render_template
from faithful.options.kinds import number
from faithful.options.line import command_line, folded
from faithful.store.corpus import Corpus, Manifest
from faithful.store.manifest_parts import Identity, SourcePart, Statistics
from generation.cards.made_by import context_by_default, made_by, parameters
from generation.cards.origins import RANDOM, Origin, origins
from generation.cards.own import certificate_rows, declared_rows, test_rows
from generation.cards.parts import (
    Address,
    config_entry,
    figures_beside,
    sample_texts,
    statistics_rows,
    texts_metadata,
)
from generation.configs.export import ExportConfig
from generation.sources.datasets_readers import PARTS
from generation.writing.identity import FOREIGN, sampling_of

NAMED = 6
CLAIMS = {
    "external": "None of it was sampled from the model: it is a corpus to compare a sampled one with, on equal terms (schema,"
    " tokenizer, contexts, BOS and end-of-text), so that nothing but the text differs.",
    FOREIGN: "Others drew it from the model and declare how; nothing of it was sampled by the tool that wrote this.",
    "derived": "Its documents are those of the corpora below; nothing was sampled for it.",
}
_RETOKENISED = (
    "Its text was tokenised again, so its ids need not be those that were drawn; an end-of-text closes it where it is known"
    " to have ended by itself. "
)


def external_metadata(corpus: Corpus) -> dict[str, Any]:
    """The card's YAML: only what is known."""
    manifest = corpus.manifest
    repos = [text.repo for text in origins(manifest)]
    sources = [f"extended|{repo}" for repo in repos] if all(repos) else []
    return texts_metadata(_title(manifest), [manifest], [config_entry(manifest)], sources)


def render_external(corpus: Corpus, at: Address) -> str:
    """The generated part of the card, Markdown."""
    manifest = corpus.manifest
    model = manifest.identity["model"]
    statistics, texts = manifest.statistics or {}, origins(manifest)
    is_read = manifest.kind != "derived"
    certificate = manifest.certificate if manifest.kind == FOREIGN else None
    context = manifest.identity.get("context") or context_by_default(manifest)
    return render_template(
        "external.md.jinja",
        title=_title(manifest),
        tokens=f"{manifest.tokens():,} training and {manifest.tokens('test'):,} held-out",
        model=model,
        what=_what(manifest, texts),
        at=at,
        token_type="uint16" if model["vocab_size"] <= 2**16 else "uint32",
        export_command=command_line(ExportConfig, folder=at.typed, context=context),
        origins=texts,
        claim=CLAIMS[manifest.kind],
        is_read=is_read,
        rows=source_rows(manifest) if is_read else derivation_rows(manifest),
        how=_how(manifest) if is_read else [],
        certificate=certificate,
        certificate_rows=certificate_rows(certificate) if certificate else [],
        test_rows=test_rows(certificate) if certificate else [],
        command=folded(made_by(manifest)),
        statistics_rows=statistics_rows(statistics | figures_beside(manifest.certificate)),
        across=_across(statistics),
        samples=sample_texts(corpus, 4),
        remarks=_remarks(manifest, statistics),
    )


def source_rows(manifest: Manifest) -> list[tuple[str, str]]:
    """Everything that decides the documents of an external corpus, as a table."""
    identity, provenance = manifest.identity, manifest.provenance
    source, facts = identity["source"], provenance["source"]
    where = [(name, source.get(name)) for name in ("repo", "config", "split", "revision", "package", "version")]
    rows = [("source", facts.get("about") or facts["name"])]
    rows += [(name, f"`{value}`") for name, value in where if value]
    if source.get("data_files"):
        rows.append(("files", ", ".join(f"`{pattern}`" for pattern in source["data_files"])))
    if source.get("files"):
        rows.append(("files", f"{len(source['files'])}, known by their sha256"))
    if source["kind"] != RANDOM:
        columns = ", ".join(f"`{column}`" for column in source["columns"])
        rows.append(("text", f"{columns}: {facts['template_rule']}" if facts.get("template_rule") else columns))
        if source["leave_out"]:
            rows.append(("tasks left out", ", ".join(source["leave_out"])))
        rows.append(("texts left out", _left_out(manifest) or "none"))
    if manifest.kind == FOREIGN:
        rows += sample_rows(manifest)
    rows += [
        ("tokenizer", f"of {identity['model']['name']} at `{identity['model']['revision']}`"),
        ("start token (BOS)", f"id {identity['model']['bos_id']}, not stored"),
        ("end-of-text ids", ", ".join(map(str, identity["model"]["eos_ids"])) or "none"),
        ("context", f"{identity['context']} tokens, BOS included"),
        ("seed", str(identity["seed"])),
    ]
    return rows


def sample_rows(manifest: Manifest) -> list[tuple[str, str]]:
    """What is declared of samples that others drew, and what was counted of them."""
    counts = manifest.provenance.get("samples", {})
    return [
        *declared_rows(sampling_of(manifest)),
        ("drawn in", manifest.identity["drawn_in"] or "a type that is not stated: 16 bit are taken for it"),
        ("counted", ", ".join(f"{count:,} {what}" for what, count in counts.items()) or "nothing yet"),
    ]


def derivation_rows(manifest: Manifest) -> list[tuple[str, str]]:
    """What was done to which corpora, as a table."""
    derivation = manifest.identity["derivation"]
    rows = [("operation", str(derivation["operation"]))]
    rows += [(name, _words(value)) for name, value in parameters(derivation).items()]
    for place, entry in enumerate(manifest.provenance["inputs"]):
        tokens = entry["tokens"]
        facts = (
            f"`{entry['name']}`, {entry['kind']}: {tokens['train']:,} training and {tokens['test']:,} held-out tokens"
        )
        identity = [*derivation["inputs"], *([derivation["like"]] if "like" in derivation else [])][place]
        rows.append(("input", f"{facts}, identity `{identity['identity_sha256'][:16]}…`"))
    return rows


def _what(manifest: Manifest, texts: list[Origin]) -> str:
    """What the documents are, in a few words."""
    if manifest.kind == "derived":
        derivation = manifest.identity["derivation"]
        names = " and ".join(entry["name"] for entry in derivation["inputs"])
        return f"derived by `{derivation['operation']}` from {names}"
    return f"of {texts[0].about or texts[0].name}"


def _how(manifest: Manifest) -> list[str]:
    """How a source became documents, in sentences."""
    identity = manifest.identity
    source, limit = identity["source"], identity["context"] - 1
    if manifest.kind == FOREIGN:
        return [
            _reading_order(source),
            "A document is one sample. "
            + ("Its ids are those that were drawn. " if source["samples"]["are_ids"] else _RETOKENISED)
            + f"Of more than {limit} ids the first are kept.",
            f"Each {identity['window']:,} consecutive samples were shuffled, each by itself. {_sides(identity)}",
        ]
    if source["kind"] == RANDOM:
        return [
            f"Every document is {limit} ids drawn uniformly from the vocabulary without its special tokens, each document"
            " by a generator of its own; the two splits from different seed domains."
        ]
    passages = (
        "A document is a passage: consecutive paragraphs or definitions of one text, cut at blank lines and before"
    )
    rule = [
        f"{passages} definitions, as long as {limit} tokens allow."
        if source["unit"] == "passage"
        else "A document is the beginning of one text of the source.",
        _reading_order(source),
        f"It holds the first {limit} tokens of its text and no BOS. One end-of-text closes it where the whole text and that"
        " token fit; a document cut for length has none. Strings that look like special tokens are plain text here.",
        f"Windows of {identity['window']:,} consecutive documents were shuffled, each by itself. {_sides(identity)} Each"
        " split is the shortest prefix of its documents with the tokens asked for: what is set aside beyond that is in"
        " neither.",
    ]
    if "left_out_sha256" in identity:
        rule.append("Passages that also stand in the text `tiny` was trained on were left out.")
    return rule


def _sides(identity: Identity) -> str:
    """What is set aside for `test`, in a sentence."""
    source, share = identity["source"], identity["test_share"]
    if "test_by" not in identity:
        return (
            f"A document is set aside for `test` when a hash of its tokens falls into {share:.3g} of the range, so that equal"
            " documents fall on one side."
        )
    rule = "All passages of a text fall on one side: set aside for `test` are those of"
    named = source.get("held_out", [])
    if not named:
        return f"{rule} a text whose hash falls into {share:.3g} of the range."
    return (
        f"{rule} {', '.join(named)}."
        if len(named) <= NAMED
        else f"{rule} {len(named)} texts, which `corpus.json` names."
    )


def _reading_order(source: SourcePart) -> str:
    """Which texts of a source come first, in a sentence."""
    order = f"up to {source['open_files']} of them in turn, in an order that the seed decides"
    parts = f"up to {PARTS} equal parts" if source.get("builder") == "saved" else source.get("parts")
    if parts:
        return f"The source's files are read as {parts}, {order}."
    return (
        f"The source's files are read from their beginnings, {order}: a corpus smaller than its source holds the first texts"
        " of each file it comes to, those of a single file where there is one."
    )


def _across(statistics: Statistics) -> str:
    """Near-duplicates across the splits in a sentence, "" when not counted."""
    across = statistics.get("across")
    if not across or not across["documents"]["test"]:
        return ""
    seen = across["documents"]
    near = (
        f"{across['near_duplicates']:,} of {seen['test']:,} held-out documents have a near-duplicate (Jaccard ≥ 0.8 on"
        f" 5-grams) among {seen['train']:,} training documents; looked at: the first {across['tokens']['test']:,} held-out"
        f" and {across['tokens']['train']:,} training tokens."
    )
    grams = across.get("shared_grams")
    if not grams or grams["share"] is None:
        return near
    return (
        f"{grams['share']:.2%} of {grams['grams']:,} runs of 13 held-out tokens also stand somewhere in the training split:"
        f" {grams['sharing']:,} of {grams['documents']:,} held-out documents that are as long share one. {near}"
    )


def _remarks(manifest: Manifest, statistics: Statistics) -> list[str]:
    remarks = []
    if "eos_rate" in statistics:
        remarks.append(f"{1 - statistics['eos_rate']:.1%} of the training documents carry no end-of-text.")
    if statistics.get("round_trip_rate", 1) < 1:
        share = 1 - statistics["round_trip_rate"]
        remarks.append(f"{share:.2%} of the documents would change if their text were tokenised again.")
    exhausted = manifest.provenance.get("exhausted", [])
    if "train" in exhausted:
        remarks.append(f"The source gives no more: {manifest.requested['train']:,} training tokens were wanted.")
    if "test" in exhausted:
        remarks.append(f"The source gives no more: {manifest.requested['test']:,} held-out tokens were wanted.")
    facts = manifest.provenance.get("source", {})
    if facts.get("remarks"):
        remarks.append(facts["remarks"])
    if facts.get("unverified"):
        remarks.append(f"Not verified when this tool was written: {', '.join(facts['unverified'])}.")
    return remarks


def _left_out(manifest: Manifest) -> str:
    texts = manifest.provenance.get("left_out", {}).get("texts", {})
    return ", ".join(f"{count:,} {reason}" for reason, count in texts.items())


def _words(value: object) -> str:
    """A parameter as a reader would type it."""
    if isinstance(value, list):
        return ",".join(map(_words, value))
    return "yes" if value is True else number(value) if isinstance(value, float) else str(value)


def _title(manifest: Manifest) -> str:
    kinds = {"external": "Comparison corpus", FOREIGN: "Samples", "derived": "Derived corpus"}
    return f"{kinds[manifest.kind]} {manifest.name} for {manifest.identity['model']['name'].split('/')[-1]}"
