"""The dataset card: README.md of a corpus folder, written from the manifest.

Everything between two markers is ours and is rewritten; what people write outside, and the metadata they set, stays.
"""

import hashlib
import json
import shlex
from dataclasses import asdict
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from faithful.base.errors import FaithfulError
from faithful.base.files import write_text
from faithful.hub.card_file import merge_metadata
from faithful.hub.card_metadata import mapping_of, read_card, split_card
from faithful.hub.licences import FILE as LICENCES
from faithful.hub.licences import licence_paragraph
from faithful.hub.templates import render_template
from faithful.models.presets import DEFAULT_CONTEXT, find_preset
from faithful.store.corpus import Corpus, Manifest, read_manifest
from generation.cards.external import external_metadata, render_external
from generation.cards.figures import pit_figure
from generation.cards.parts import figures_beside, layout, licence_tags, model_tag, sample_texts, statistics_rows
from generation.sampling.distribution import Sampling
from generation.writing.identity import sampling_of

BEGIN, END = "<!-- faithful: begin", "<!-- faithful: end -->"


def write_card(folder: Path) -> Path:
    """Write or renew README.md (and pit.png where there is a certificate); human edits are kept."""
    corpus = Corpus(folder)
    manifest = corpus.manifest
    if manifest.certificate and "pit_counts" in manifest.certificate:
        pit_figure(manifest.certificate, folder / "pit.png")
    path = folder / "README.md"
    front, body = _there(path)
    merged = merge_metadata(front, metadata(corpus))
    generated = f"{BEGIN} {digest(manifest)} -->\n{render(corpus)}\n{END}"
    if BEGIN in body and END in body:
        body = body[: body.index(BEGIN)] + generated + body[body.index(END) + len(END) :]
    elif BEGIN in body or END in body:
        raise FaithfulError(
            f"{path} lacks one of its two marker lines, `{BEGIN} … -->` and `{END}`; put it back around the generated part."
        )
    else:
        body = generated + ("\n\n" + body.strip() if body.strip() else "") + "\n"
    header = yaml.safe_dump(merged, sort_keys=False, allow_unicode=True)
    write_text(path, f"---\n{header}---\n\n{body.strip()}\n")
    return path


def digest(manifest: Manifest) -> str:
    """Hash of what the card is made of, template included, kept in its first marker: an outdated card is known as such."""
    parts = [asdict(shard) for shards in manifest.shards.values() for shard in shards]
    template = template_version("corpus.md.jinja" if manifest.kind == "own" else "external.md.jinja")
    content = json.dumps([parts, manifest.certificate, manifest.statistics, template], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


@cache
def template_version(name: str) -> str:
    """Hash of a template of `data_cards` and of the licence paragraphs that go into it."""
    sources = [(resources.files("data_cards") / part).read_bytes() for part in (name, LICENCES)]
    return hashlib.sha256(b"\0".join(sources)).hexdigest()[:16]


def card_is_current(folder: Path) -> bool:
    """Whether the folder's card was written from its present manifest."""
    path = folder / "README.md"
    text = read_card(path) if path.exists() else ""
    return f"{BEGIN} {digest(read_manifest(folder))} -->" in text and END in text


def metadata(corpus: Corpus) -> dict[str, Any]:
    """The card's YAML: only what is known."""
    return _own_metadata(corpus) if corpus.manifest.kind == "own" else external_metadata(corpus)


def render(corpus: Corpus) -> str:
    """The generated part of the card, Markdown."""
    return _render_own(corpus) if corpus.manifest.kind == "own" else render_external(corpus)


def _own_metadata(corpus: Corpus) -> dict[str, Any]:
    manifest = corpus.manifest
    model = manifest.provenance["model"]
    values: dict[str, Any] = {"pretty_name": _title(manifest)}
    if model.get("language"):
        values["language"] = [model["language"]]
    return values | {
        **licence_tags(model.get("licence")),
        "annotations_creators": ["no-annotation"],
        "language_creators": ["machine-generated"],
        "source_datasets": ["original"],
        **layout(manifest, ["synthetic", "faithful", "sparse-autoencoder", model_tag(manifest)]),
    }


def _render_own(corpus: Corpus) -> str:
    manifest = corpus.manifest
    identity, sampling = manifest.identity, sampling_of(manifest)
    model = identity["model"]
    provenance = manifest.provenance["model"]
    certificate, statistics = manifest.certificate, manifest.statistics or {}
    embedded = provenance["source"] == "tiny"
    round_trip = statistics.get("round_trip_rate")
    remark = (
        f"; {1 - round_trip:.1%} of the samples would change if their text were tokenised again"
        if round_trip is not None
        else ""
    )
    ended = statistics.get("eos_rate", 0.0)
    length = (
        f"{1 - ended:.1%} of the samples were cut at {sampling.max_tokens} tokens and are beginnings of documents."
        if sampling.mode == "documents"
        else f"Every sample is a stream of {sampling.max_tokens} tokens that runs over end-of-text."
    )
    load_path = corpus.folder.as_posix() if not corpus.folder.is_absolute() else corpus.name
    figures = figures_beside(certificate)
    return render_template(
        "corpus.md.jinja",
        title=_title(manifest),
        tokens=f"{manifest.tokens():,} training and {manifest.tokens('test'):,} held-out",
        model=model,
        identity=identity,
        sampling=sampling,
        verdict_sentence=f"Certificate: **{certificate['verdict']}**." if certificate else "",
        load_path=load_path,
        quoted_path=shlex.quote(load_path),
        sae=_sae_settings(model["name"]),
        has_kl="first_token_kl" in figures,
        round_trip_remark=remark,
        model_import="from faithful.models.presets import tiny_path\n" if embedded else "",
        model_id="str(tiny_path())" if embedded else json.dumps(provenance["source"]),
        training_tokens=manifest.tokens(),
        context=sampling.max_tokens + 1,
        token_type="uint16" if model["vocab_size"] <= 2**16 else "uint32",
        sampling_rows=sampling_rows(manifest, sampling),
        not_applied=", ".join(f"`{k}: {v}`" for k, v in manifest.provenance["generation_config_not_applied"].items()),
        command=reproduce_command(manifest),
        promise=_promise(manifest),
        certificate=certificate
        and {
            "verdict": certificate["verdict"],
            "reason": certificate["reason"],
            "tokens": f"{certificate['tokens_scored']:,}",
            "of": f"{certificate['split_tokens']:,}",
            "part": certificate["part"],
        },
        certificate_rows=certificate_rows(certificate) if certificate else [],
        test_rows=test_rows(certificate) if certificate else [],
        has_picture="pit_counts" in (certificate or {}),
        no_certificate="The sampling has no randomness, so there is nothing to certify."
        if sampling.deterministic
        else "Not certified yet: run `faithful corpus certify`.",
        statistics_rows=statistics_rows(statistics | figures),
        samples=sample_texts(corpus, 3),
        length_remark=length,
        remarks=_remarks(statistics),
        licence=licence_paragraph(provenance),
    )


def _sae_settings(model: str) -> dict[str, str]:
    """Settings for other trainers, in Python: the preset's, else the rule for models without one, as an expression.

    `resid_pre` of a layer is what the block before it gives, which is where they take it.
    """
    preset = find_preset(model)
    if preset:
        block = f"{preset.layer - 1}"
        return {"d_sae": f"{preset.d_sae}", "k": f"{preset.k}", "lr": f"{preset.lr:g}", "block": block, "place": block}
    d_sae, block = "8 * shape.hidden_size", "round(shape.num_hidden_layers * 2 / 3) - 1"
    return {
        "d_sae": d_sae,
        "k": "32",
        "lr": f"2e-4 / ({d_sae} / 2**14) ** 0.5",
        "block": block,
        "place": f"{{{block}}}",
    }


def sampling_rows(manifest: Manifest, sampling: Sampling) -> list[tuple[str, str]]:
    """Everything that decides the samples, as a table."""
    identity = manifest.identity
    model, engine = identity["model"], identity["engine"]
    versions = ", ".join(f"{name} {version}" for name, version in engine["versions"].items())
    return [
        ("model", f"{model['name']} at `{model['revision']}`"),
        ("dtype", model["dtype"]),
        ("start token (BOS)", f"id {model['bos_id']}, from {manifest.provenance['model']['bos_from']}"),
        ("end-of-text ids", ", ".join(map(str, model["eos_ids"])) or "none"),
        ("temperature", f"{sampling.temperature:g}"),
        ("top-p / top-k / min-p", f"{sampling.top_p:g} / {sampling.top_k or 'off'} / {sampling.min_p:g}"),
        ("repetition penalty", f"{sampling.repetition_penalty:g}"),
        ("mode", f"{sampling.mode}, at most {sampling.max_tokens} tokens"),
        ("ids without a string", "masked" if sampling.mask_unmapped else "part of the distribution"),
        ("run seed", str(identity["seed"])),
        ("engine", f"{engine['name']} on {engine['device']} ({versions})"),
    ]


def certificate_rows(certificate: dict[str, Any]) -> list[tuple[str, str]]:
    """Headline figures of a certificate."""
    low, high = certificate["ci95"]
    return [
        ("surprise gap", f"{certificate['surprise_gap']:+.4f} nats/token ({low:+.4f} to {high:+.4f})"),
        ("smallest corrected p", f"{certificate['p_holm']:.3g}"),
        ("tokens outside the support", f"{certificate['impossible_share']:.3g}"),
        ("tokens on its boundary", f"{certificate['boundary_share']:.3g}"),
        ("cross-entropy, entropy", f"{certificate['ce']:.4f}, {certificate['entropy']:.4f} nats/token"),
    ]


def test_rows(certificate: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """One row per test: name, statistic, p, corrected p."""
    rows = []
    for name, test in certificate["tests"].items():
        if test["p"] is None:
            rows.append((name, f"left out: {test['left_out']}", "", ""))
            continue
        statistic = next(
            text
            for key, text in (
                ("chi2", f"χ² = {test.get('chi2', 0):.1f} on {test.get('df', 0)}"),
                ("z", f"z = {test.get('z', 0):+.2f}"),
                ("log_e_value", f"log e-value = {test.get('log_e_value', 0):.2f}"),
                ("count", f"{test.get('count', 0)} outside"),
            )
            if key in test
        )
        rows.append((name, statistic, f"{test['p']:.3g}", f"{test['p_holm']:.3g}"))
    return rows


test_rows.__test__ = False  # type: ignore[attr-defined]


def reproduce_command(manifest: Manifest) -> str:
    """The `faithful generate` command that makes this corpus again."""
    identity = manifest.identity
    model, engine = identity["model"], identity["engine"]
    preset = find_preset(model["name"])
    default = Sampling(max_tokens=(preset.context if preset else DEFAULT_CONTEXT) - 1)
    parts = [f"faithful generate --model {shlex.quote(manifest.provenance['model']['source'])}"]
    if not model["revision"].startswith("sha256:"):
        parts.append(f"--revision {model['revision']}")
    parts += [
        f"--tokens {manifest.requested['train']} --held-out {manifest.requested['test']}",
        f"--seed {identity['seed']}",
        f"--dtype {model['dtype']}",
    ]
    if manifest.provenance["model"]["bos_from"] == "--bos":
        parts.append(f"--bos {model['bos_id']}")
    for name, value in sampling_of(manifest).to_dict().items():
        if value != getattr(default, name):
            flag = f"--{name.replace('_', '-')}"
            parts.append(flag if value is True else f"{flag} {value}")
    device = "cpu" if engine["device"] == "cpu" else "cuda"
    parts.append(f"--engine {engine['name']} --device {device} --threads {engine['threads']} --batch {engine['slots']}")
    parts.append(
        f"--shard-rows {engine['shard_rows']} " + ("--deterministic" if engine["deterministic"] else "--rolling")
    )
    return " \\\n  ".join([" ".join(parts[:-2]), " ".join(parts[-2:])])


def _promise(manifest: Manifest) -> str:
    engine = manifest.identity["engine"]
    if len(manifest.segments) > 1:
        return "The engine changed while the corpus grew, so equal bytes are not promised: equal seeds, equal distribution."
    if engine["promise"] == "bytes":
        return (
            "The same command gives the same bytes with these package versions and this instruction set"
            f" ({engine.get('instructions', engine['device'])}), whatever the number of workers and restarts."
        )
    return (
        "The same command gives the same seeds and the same distribution; equal bytes are not promised by this engine."
    )


def _remarks(statistics: dict[str, Any]) -> list[str]:
    remarks = []
    if statistics.get("unmapped_rate"):
        remarks.append(f"{statistics['unmapped_rate']:.3%} of the tokens are ids that the tokenizer has no string for.")
    if (statistics.get("repetition_rate") or 0) > 0.01:
        remarks.append(f"{statistics['repetition_rate']:.1%} of the samples end in a loop.")
    return remarks


def _title(manifest: Manifest) -> str:
    return f"Faithful corpus of {manifest.identity['model']['name'].split('/')[-1]} ({manifest.name})"


def _there(path: Path) -> tuple[dict[str, Any], str]:
    """Metadata and text of the card that is there, as a person may have edited it.

    Raises:
        FaithfulError: it is a link, whose text is not ours to copy; or see `mapping_of`.
    """
    if path.is_symlink():
        raise FaithfulError(f"{path} is a link; put the card itself there, or take the link away.")
    if not path.exists():
        return {}, ""
    front, body = split_card(read_card(path))
    return mapping_of(front, str(path), exact=True), body
