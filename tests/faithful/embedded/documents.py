"""Documents of the embedded sources."""

from dataclasses import replace
from functools import cache

from faithful.embedded.stdlib_seen import passage_hash, seen_passages
from faithful.models.spec import resolve_model
from faithful.models.tokenizer import load_tokenizer
from generation.external.encoder import Encoder
from generation.external.prepare import leaves_out_seen
from generation.external.windows import Cutter, Window, windows
from generation.sources.resolve import resolve_source
from generation.sources.rows import Rows


@cache
def documents(name: str) -> list[Window]:
    """Everything that an embedded source gives for `tiny`; what stands in its training text is left out of `stdlib`."""
    spec, source = resolve_model("tiny"), resolve_source(name)
    assert source.unit == "passage"
    cutter = Cutter(Encoder(load_tokenizer(spec.source, None), spec, 127), source.unit)
    if leaves_out_seen(source):
        cutter = replace(cutter, leaves_out=lambda text: passage_hash(text) in seen_passages())
    return list(windows(lambda state: Rows(source, 0, state), cutter, 0))
