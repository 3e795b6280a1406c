"""The YAML at the head of a card: taken as it is meant, or refused with its line."""

from pathlib import Path

import pytest
import yaml

from faithful.base.errors import FaithfulError
from faithful.hub.card_metadata import mapping_of, read_card, split_card


@pytest.mark.parametrize(
    ("line", "line_said"),
    [
        ("language: [en, no]", "'no' as false"), ("language:\n- NO", "'NO' as false"),
        ("pretty_name: on", "'on' as true"), ("a: " + "[" * 3000, "no valid YAML"), ("a: 2024-13-45", "no valid YAML"),
        ("version: 1.10", "'1.10' as 1.1"), ("code: 0x1F", "'0x1F' as 31"), ("number: 0123", "'0123' as 83"),
        ("time: 12:30:45", "'12:30:45' as 45045"), ("big: 1_000", "'1_000' as 1000"), ("a: {b: yes}", "'yes' as true"),
        ("license: mit\nlicense: apache-2.0", "the key license is there twice"), ("1: x", "the key 1 is no text"),
        ("yes: x", "the key yes is no text"), ("[a]: x", "no valid YAML"), ("- a", "no valid YAML"),
        ("a: &x [*x]", "*x stands for something else"), ("a: &x b\nc: *x", "*x stands for"),
        ("a: !!python/name:os.system", "no valid YAML"),
    ],
)  # fmt: skip
def test_its_neighbours(line: str, line_said: str) -> None:
    front = f"title: x\n{line}\n"
    with pytest.raises(FaithfulError, match=r"^README.md, line \d+: ") as caught:
        mapping_of(front, "README.md", exact=True)
    assert line_said in str(caught.value)


@pytest.mark.parametrize(
    "front",
    [
        "a: 1\nb: 2.5\nc: true\nd: True\ne:\nf: ~\ng: 2024-01-01\nh: -3\ni: no way\nj: 'no'\nk: n\n",
        "",
        "\n",
        "# only words\n",
    ],
)
def test_what_stays_is_taken(front: str) -> None:
    found = mapping_of(front, "README.md", exact=True)
    assert yaml.safe_load(yaml.safe_dump(found)) == found
    assert found == (yaml.safe_load(front) or {})


@pytest.mark.parametrize(
    ("card", "front", "body"),
    [
        ("---\na: 1\n---\ntext\n", "a: 1\n", "text\n"),
        ("\n--- \na: 1\n---\t\ntext", "a: 1\n", "text"),
        ("---\n---\ntext", "", "text"),
        ("---\na: 1\n---", "a: 1\n", ""),
        ("# text\n---\na: 1\n---\n", "", "# text\n---\na: 1\n---\n"),
        ("---\na: b --- c\n----\n", "", "---\na: b --- c\n----\n"),
    ],
)
def test_the_head_is_told_from_the_text(card: str, front: str, body: str) -> None:
    assert split_card(card) == (front, body)


def test_line_ends_and_marks_of_other_systems_are_read(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes("\ufeff---\r\na: ü\r\n---\r\n".encode())
    assert read_card(tmp_path / "README.md") == "---\na: ü\n---\n"
    (tmp_path / "README.md").write_bytes(b"one\n\xff\n")
    with pytest.raises(FaithfulError, match=r"README\.md, line 2: it is not UTF-8"):
        read_card(tmp_path / "README.md")
