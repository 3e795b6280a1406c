"""What the explainer is asked, after Paulo et al. 2024 (arXiv 2410.13928): a sentence, then a detection by that sentence."""

import json
import re
from collections.abc import Sequence

from studies.explanations.evidence import Window

Messages = list[dict[str, str]]
STRONGEST = 10
"""What the largest activation of a latent is shown as; others in proportion, rounded."""
BEGIN, END = "⟦", "⟧"
"""Marks around what is active: such as hardly stand in any text, where they are replaced."""
REASONED = "</think>"
EXPLAIN = f"""You are looking for what makes one feature of a language model active.
You see texts in which it is active. The parts it is active on stand between {BEGIN} and {END}; below each text they are \
listed with how strongly it is active, from 1 to 10.
Say in one short sentence which tokens, words or contexts it is active on. Be specific; say what holds for most of the \
texts, and do not list the texts. Answer with that sentence alone."""
JUDGE = """You are told what one feature of a language model is active on, and see numbered texts.
Decide for each text whether the feature is active somewhere in it. Answer with a list of a 1 (active) or a 0 (not active) \
for each text, in their order, and nothing else: for example {example}"""


def explaining(shown: Sequence[Window]) -> Messages:
    """Ask for an explanation of a latent by contexts in which it fires."""
    largest = max(max(one["values"]) for one in shown)
    texts = "\n\n".join(f"Text {place}: {_shown(one, largest)}" for place, one in enumerate(shown, 1))
    return [{"role": "system", "content": EXPLAIN}, {"role": "user", "content": texts}]


def judging(explanation: str, windows: Sequence[Window]) -> Messages:
    """Ask which contexts a latent fires in, by its explanation alone."""
    example = json.dumps([(place + 1) % 2 for place in range(len(windows))])
    texts = "\n\n".join(f"Text {place}: {_plain(''.join(one['tokens']))}" for place, one in enumerate(windows, 1))
    return [
        {"role": "system", "content": JUDGE.format(example=example)},
        {"role": "user", "content": f"The feature is active on: {explanation}\n\n{texts}"},
    ]


def one_line(said: str | None) -> str:
    """An explanation on one line, without what a model that reasons says before; "" where it did not come to its end."""
    return " ".join(_concluded(said).split())


def answers_in(said: str | None, count: int) -> list[int] | None:
    """The last list of so many zeros and ones in an answer; None where there is none."""
    lists = [re.split(r"[\s,]+", found.strip()) for found in re.findall(r"\[([01\s,]+)\]", _concluded(said))]
    fitting = [found for found in lists if len(found) == count and set(found) <= {"0", "1"}]
    return [int(one) for one in fitting[-1]] if fitting else None


def _concluded(said: str | None) -> str:
    """What follows the reasoning; nothing where that has no end."""
    if said is None or (REASONED not in said and "<think>" in said):
        return ""
    return said.rpartition(REASONED)[2]


def _shown(window: Window, largest: float) -> str:
    """A text with what is active in it between marks, and below it how strongly."""
    text, active = "", []
    inside = False
    for token, value in zip(window["tokens"], window["values"], strict=True):
        piece = token.replace(BEGIN, "[").replace(END, "]")
        if (value > 0) != inside:
            text += END if inside else BEGIN
            inside = not inside
        text += piece
        if inside:
            active.append(f"({json.dumps(piece, ensure_ascii=False)}, {max(1, round(value / largest * STRONGEST))})")
    return f"{_plain(text + (END if inside else ''))}\nActive: {', '.join(active)}"


def _plain(text: str) -> str:
    """A text on one line."""
    return "⏎".join(text.splitlines())
