"""WikiText as articles."""

import re

import pytest

from generation.sources.wikitext import articles, detokenise


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (" a well @-@ known 3 @,@ 000 and 2 @.@ 5 . ", "a well-known 3,000 and 2.5."),
        (' He said , " it works ! " , and left .', 'He said, "it works!", and left.'),
        ("the game ( Japanese : 戦場 ) is 's", "the game (Japanese: 戦場) is's"),
        ("the dog 's and the dogs ' tails do n't", "the dog's and the dogs' tails don't"),
        ("20 ° C", "20°C"),
        ("e.g. v1.2 stays", "e.g. v1.2 stays"),
    ],
)
def test_detokenised_lines(line: str, text: str) -> None:
    assert detokenise(line) == text


def test_articles_can_be_gone_on_with_after_each_of_them() -> None:
    lines = ["", " = A = \n", "", " a . \n", " b = c . \n", "", " = = S = = \n", "", " d . \n", " = = = T = = = \n"]
    lines += ["", " = B , the 2nd = \n", "", " e . \n", " = not a title = \n", "", " = C = \n", "", None]
    found = list(articles([" before . \n", *lines]))
    assert [text for _, text in found] == [
        "before.",
        "A\n\na.\n\nb = c.\n\nS\n\nd.\n\nT",
        "B, the 2nd\n\ne.\n\nnot a title",
        "C",
    ]
    for place, (consumed, _) in enumerate(found):
        rest = [text for _, text in articles([" before . \n", *lines][consumed:])]
        assert rest == [text for _, text in found[place + 1 :]]
    assert found[-1][0] == len(lines) + 1
    assert list(articles([])) == list(articles(["", None, "  "])) == []
    assert not re.search(r"=", found[1][1].replace("b = c", ""))
