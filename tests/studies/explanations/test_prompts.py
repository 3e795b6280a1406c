import pytest

from studies.explanations.evidence import Window
from studies.explanations.prompts import answers_in, explaining, judging, one_line

WINDOW: Window = {"row": 0, "tokens": [" a", " b", "c", "\n", "d"], "values": [0.0, 2.0, 4.0, 0.0, 0.1]}


def test_what_is_active_stands_between_marks_with_its_strength() -> None:
    told = explaining([WINDOW, WINDOW])[1]["content"]
    assert told.startswith('Text 1:  a⟦ bc⟧⏎⟦d⟧\nActive: (" b", 5), ("c", 10), ("d", 1)\n\nText 2: ')


def test_judges_see_the_sentence_and_no_activation() -> None:
    system, asked = judging("tokens", [WINDOW, WINDOW, WINDOW])
    assert system["content"].endswith("for example [1, 0, 1]")
    assert (
        asked["content"] == "The feature is active on: tokens\n\nText 1:  a bc⏎d\n\nText 2:  a bc⏎d\n\nText 3:  a bc⏎d"
    )


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("[1, 0, 1]", [1, 0, 1]),
        ("The answer is [0,0,1].", [0, 0, 1]),
        ("As in [1, 0] I say\n[ 1,1, 1 ]", [1, 1, 1]),
        ("<think>[0, 0, 0]</think> [1, 0, 0]", [1, 0, 0]),
        ("<think>The form is [1, 0, 1]. Text 1", None),
        ("[1 0 1]", [1, 0, 1]),
        ("[10, 1]", None),
        ("[" + "1 " * 5000, None),
        (None, None),
        ("[1, 0]", None),
        ("[2, 0, 1]", None),
        ("1, 0, 1", None),
        ("", None),
    ],
)
def test_the_last_list_of_the_right_length_is_the_answer(said: str | None, found: list[int] | None) -> None:
    assert answers_in(said, 3) == found


def test_an_explanation_is_one_line_without_the_reasoning() -> None:
    assert one_line("<think>\nwell\n</think>\n Names\n of  towns. ") == "Names of towns."
    assert one_line("<think>\nOkay, the user wants") == "" == one_line(None)


def test_marks_in_a_text_are_no_marks() -> None:
    told = explaining([{"row": 0, "tokens": ["⟦x⟧", "y"], "values": [0.0, 1.0]}])[1]["content"]
    assert told == 'Text 1: [x]⟦y⟧\nActive: ("y", 10)'
