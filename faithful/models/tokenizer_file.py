"""tokenizer.json against the class that transformers chose for it: what the file says counts.

Tokenizer classes of transformers 5 rebuild a tokenizer from the file's vocabulary with the parts that the class thinks it
has: the Llama class puts SentencePiece's blanks around a byte-level vocabulary, and every blank of a text is lost.
"""

from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.models.files import read_model_json

PROBES = (
    "The quick brown fox jumps over the lazy dog.",
    " leading blank, trailing blank ",
    "two  blanks,   three,    four\n\nlines\tand\ttabs\r\n",
    "        indented = {'code': [1, 2.5, -3e8], \"t\": None}  # 0x7F\n",
    "Don't we'll I'VE it's CamelCase snake_case KEBAB-case 'quoted' “curly” — dash… (brackets) [x] <y> ▁under Ġbyte",
    "1234567890 3.14159 1,000,000 2026-11-29 $5 50% #1 @you a&b &amp; http://example.org/a?b=c",
    "naïve café Zürich Ångström Ærø œuvre ﬁne ½ e\u0301 \u00e9 \u00a0nbsp \u200bzero\u200dwidth",
    "Ελληνικά кириллица עברית العربية हिन्दी ไทย 中文字符 日本語カタカナ 한국어 😀👩‍🚀🇺🇳 𝔘𝔫𝔦",
    "\x00\x07\x1b\x7f\u0085\ufeff\ufffd",
)
_found: dict[tuple[Any, ...], str | None] = {}


def as_written(tokenizer: Any, source: str, revision: str | None) -> Any:
    """The tokenizer if it gives the ids and texts that its tokenizer.json gives, else the one that the file describes.

    Special tokens that a class or tokenizer_config.json adds to the file's are left alone, and so is a model without a
    tokenizer.json.

    Args:
        tokenizer: as transformers loads it.
        source, revision: where it was loaded from, see `load_tokenizer`.

    Raises:
        FaithfulError: the file cannot be read, or transformers gives other ids whatever class it takes.
    """
    from transformers import PreTrainedTokenizerFast

    path = _tokenizer_file(source, revision)
    if path is None or getattr(tokenizer, "init_kwargs", {}).get("fix_mistral_regex"):
        return tokenizer
    if _fault(tokenizer, path) is None:
        return tokenizer
    file_class: Any = PreTrainedTokenizerFast
    plain = file_class.from_pretrained(source, revision=revision)
    found = _fault(plain, path)
    if found is not None:
        raise FaithfulError(
            f"The tokenizer of {source} does not do what its {path.name} says: {found}. Save it again with one version of"
            " transformers, or choose another model."
        )
    return plain


def _fault(tokenizer: Any, path: Path) -> str | None:
    """`differs` from a file, found once per process while the files and the class stay what they are."""
    from tokenizers import Tokenizer

    config = path.parent / "tokenizer_config.json"
    stamps = [(file.stat().st_mtime_ns, file.stat().st_size) for file in (path, config) if file.exists()]
    key = (str(path), *stamps, type(tokenizer).__name__)
    if key in _found:
        return _found[key]
    try:
        stated = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises Exception itself
        raise FaithfulError(f"{path} is no tokenizer that can be read ({error}); download the model again.") from error
    stated.no_truncation()
    stated.no_padding()
    _found[key] = differs(tokenizer, stated)
    return _found[key]


def differs(tokenizer: Any, stated: Any) -> str | None:
    """Where a tokenizer of transformers departs from a `tokenizers.Tokenizer`, in words; None where nowhere is seen."""
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        return f"the class {type(tokenizer).__name__} does not read the file"
    try:
        return _departure(tokenizer, stated)
    except Exception as error:  # the library raises Exception itself, for instance without a token for the unknown
        return f"the class {type(tokenizer).__name__} cannot read a text ({error})"


def _departure(tokenizer: Any, stated: Any) -> str | None:
    ids = tokenizer.get_vocab()
    for token, number in stated.get_vocab().items():
        if ids.get(token) != number:
            return f"the token {token!r} has the id {ids.get(token)}, in the file {number}"
    found = tokenizer(list(PROBES), add_special_tokens=False, verbose=False)["input_ids"]
    encodings = stated.encode_batch(list(PROBES), add_special_tokens=False)
    for probe, mine, encoding in zip(PROBES, found, encodings, strict=True):
        written = encoding.ids
        if mine != written:
            return f"{probe[:40]!r} becomes {mine[:6]} …, by the file {written[:6]} …"
        text = tokenizer.decode(mine, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if text != stated.decode(written, skip_special_tokens=False):
            return f"the ids of {probe[:40]!r} are read back as {text[:40]!r}"
    return None


def _tokenizer_file(source: str, revision: str | None) -> Path | None:
    """The tokenizer.json that transformers reads, or the one of its version where a model has several; None without one."""
    from transformers.utils import cached_file

    def stored(name: str) -> Path | None:
        found = cached_file(
            source,
            name,
            revision=revision,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        return Path(found) if found else None

    name, config = "tokenizer.json", stored("tokenizer_config.json")
    if config is not None:
        from transformers.tokenization_utils_base import get_fast_tokenizer_file

        several = read_model_json(config).get("fast_tokenizer_files")
        name = get_fast_tokenizer_file(several) if several else name
    return stored(name)
