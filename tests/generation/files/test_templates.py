"""From rows to text: templates to the letter, task names however they are spelt, WikiText's lines as articles."""

import math
import re
from typing import Any

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from generation.files.templates import TEMPLATES, choose, renderer, rule
from generation.sources.task_names import PROBE_TASKS, names_one_of
from generation.sources.wikitext import articles, detokenise


def text_of(template: str | None, row: dict[str, Any], columns: tuple[str, ...] | None = None) -> str:
    return renderer(template, columns or TEMPLATES[str(template)].columns)(row)


@pytest.mark.parametrize(
    ("inputs", "targets", "text"),
    [
        ("Is it so?", "yes", "Is it so? yes"),
        ("Is it so? ", "yes", "Is it so? yes"),
        ("Is it so?\n", "yes", "Is it so?\nyes"),
        ("Options:\n- yes", "yes", "Options:\n- yes\nyes"),
        ("¿De veras…", "sí", "¿De veras… sí"),
        ("本当？", "はい", "本当？ はい"),
        ("", "alone", "alone"),
        ("alone", None, "alone"),
        (None, None, ""),
    ],
)
def test_the_rule_of_flan(inputs: str | None, targets: str | None, text: str) -> None:
    assert text_of("flan", {"inputs": inputs, "targets": targets}) == text
    assert text_of("prompt-completion", {"prompt": inputs, "completion": targets}) == text


def test_instructions() -> None:
    row = {"instruction": "Add.", "input": "1 + 1", "output": "2"}
    assert text_of("alpaca", row) == "Add.\n1 + 1\n2"
    assert text_of("alpaca", row | {"input": ""}) == "Add.\n2"
    task = {"definition": "Add.", "inputs": "1 + 1 =", "targets": "2"}
    assert text_of("natural-instructions", task) == "Add.\n1 + 1 = 2"
    assert text_of("natural-instructions", task | {"inputs": "1 and 1", "targets": ["2", "two"]}) == (
        "Add.\n1 and 1\n2\ntwo"
    )


def test_chats_in_both_ways_of_writing_them() -> None:
    turns = [
        {"role": "user", "content": " Hi "},
        {"role": "assistant", "content": [{"type": "text", "text": "Hello"}, {"type": "image"}]},
        {"role": "tool", "content": None},
    ]
    assert text_of("chat", {"messages": turns}) == "User: Hi\n\nAssistant: Hello"
    shared = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    assert text_of("chat", {"conversations": shared}, ("conversations",)) == "User: Hi\n\nAssistant: Hello"
    assert text_of("chat", {"messages": None}) == text_of("chat", {"messages": []}) == ""


def test_format_strings_hold_braces_and_nothing_else() -> None:
    columns, template = choose(["a", "b.c"], None, "{{{a}}}\\n{b.c}\\t{a}", "it")
    assert (columns, template) == (("a", "b.c"), "{{{a}}}\n{b.c}\t{a}")
    assert text_of(template, {"a": 1, "b.c": "x"}, columns) == "{1}\nx\t1"
    assert text_of(template, {"a": " ", "b.c": None}, columns) == ""
    for wrong in ("{}", "{a:>9}", "{a!s}", "{a", "a}b{c}", "{{a}}"):
        with pytest.raises(FaithfulError, match="template"):
            choose(["a"], None, wrong, "it")


def test_what_is_read_when_nothing_is_stated() -> None:
    assert choose(["id", "messages", "text"], None, None, "it") == (("text",), None)
    assert choose(["id", "messages"], None, None, "it") == (("messages",), "chat")
    assert choose(["q", "a"], ("q", "a"), None, "it") == (("q", "a"), "{q}\n{a}")
    with pytest.raises(FaithfulError, match="none is called text; they fit --template alpaca"):
        choose(["instruction", "input", "output"], None, None, "it")
    with pytest.raises(FaithfulError, match="it has the columns q, a, and none is called text"):
        choose(["q", "a"], None, None, "it")


def test_every_template_states_its_rule() -> None:
    assert all(rule(name) == template.rule for name, template in TEMPLATES.items())
    assert rule("{a}") == "format string '{a}'"
    assert rule(None) == "one column as it stands"


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("sst2", "sst2"),
        ("SST-2", "sst2"),
        ("glue/sst2:2.0.0", "sst2"),
        ("glue_sst2", "sst2"),
        ("sst2_10templates", "sst2"),
        ("task363_sst2_polarity_classification", "sst2"),
        ("stanford_sentiment_treebank", "sst2"),
        ("CoLA", "cola"),
        ("glue_cola", "cola"),
        ("glue/cola:2.0.0", "cola"),
        ("task616_cola_classification", "cola"),
        ("AGNews", "ag_news"),
        ("ag_news", "ag_news"),
        ("ag_news_subset:1.0.0", "ag_news"),
        ("task379_agnews_topic_classification", "ag_news"),
        ("task1541_agnews_classification", "ag_news"),
        ("yelp_polarity_reviews:0.2.0", "yelp"),
        ("YelpPolarity", "yelp"),
        ("yelp_review_full", "yelp"),
        ("task475_yelp_polarity_classification", "yelp"),
        ("AG's news", "ag_news"),
        ("AG’s News Corpus", "ag_news"),
        ("AG NEWS", "ag_news"),
        ("ag-s-news", "ag_news"),
        ("AGs_News", "ag_news"),
        ("Ag.News", "ag_news"),
        ("agnewstopics", "ag_news"),
        ("ＡＧ　Ｎｅｗｓ", "ag_news"),
        ("a\u200bg_news", "ag_news"),
        ("https://huggingface.co/datasets/fancyzhx/ag_news", "ag_news"),
        ("hf://datasets/stanfordnlp/sst2", "sst2"),
        ("SST–2", "sst2"),
        ("sst 2", "sst2"),
        ("Stanford's Sentiment Treebank", "sst2"),
        ("stanford_sentiment_treebanks", "sst2"),
        ("SST5", "sst2"),
        ("Yelp's reviews", "yelp"),
        ("YELP", "yelp"),
        ("Yelps", "yelp"),
        ("yelpreviewfull", "yelp"),
        ("CoLA's", "cola"),
        ("COLA", "cola"),
        ("corpus of linguistic acceptability", "cola"),
    ],
)
def test_probe_tasks_under_the_names_that_sets_give_them(name: str, task: str) -> None:
    assert names_one_of(name, PROBE_TASKS) == task


@pytest.mark.parametrize(
    "name",
    [
        "glue/mnli:2.0.0", "imdb_reviews", "task1_chocolate_colander", "protocola", "cnn_dailymail", "assist2",
        "news_commentary", "magnews", "agnew_speeches", "mag_news",
        "chocolate's", "ags", "consst2x",
        "http://ag-news.com/a", "https://www.yelp.com/biz/x", "www.yelp.com", "natural_questions", "",
    ],
)  # fmt: skip
def test_other_tasks_stay(name: str) -> None:
    assert names_one_of(name, PROBE_TASKS) is None


def test_a_user_names_tasks_too() -> None:
    assert names_one_of("ai2-adapt-dev/flan_v2_converted", ("flan_v2",)) == "flan_v2"
    assert names_one_of("ai2-adapt-dev/no_robots_converted", ("flan_v2",)) is None
    assert names_one_of("glue_sst2", ()) is None
    assert names_one_of("no robots", ("No-Robots",)) == "No-Robots"
    assert names_one_of("trivia_qa", ("Trivia's QA",)) == "Trivia's QA"


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


@pytest.mark.parametrize("missing", [None, math.nan, np.float32("nan").item(), float("-nan")])
def test_missing_values_are_no_words(missing: Any) -> None:
    assert text_of(None, {"text": missing}, ("text",)) == ""
    both = ("title", "text")
    assert text_of("{title}\n{text}", {"title": missing, "text": missing}, both) == ""
    assert text_of("{title}\n{text}", {"title": missing, "text": "x"}, both) == "\nx"
    assert text_of("alpaca", {"instruction": "a", "input": missing, "output": "b"}) == "a\nb"
    assert text_of("prompt-completion", {"prompt": missing, "completion": "b"}) == "b"
    assert text_of("chat", {"messages": missing}) == ""
    turns = [{"role": "user", "content": "x"}, {"role": missing, "content": "y"}, {"role": "tool", "content": missing}]
    assert text_of("chat", {"messages": turns}) == "User: x\n\nUser: y"


@pytest.mark.parametrize("ids", [[3, 1, 4], [0.5, 2.0], [[1, 2], [3]], ["a", 7], [True, False], (1, 2)])
@pytest.mark.parametrize("template", [None, "{token_ids}", "{text}: {token_ids}"])
def test_lists_of_numbers_are_no_text(template: str | None, ids: Any) -> None:
    row = {"token_ids": ids, "text": "x"}
    columns = ("token_ids",) if template is None else tuple(name for name in row if f"{{{name}}}" in template)
    with pytest.raises(FaithfulError, match="lists of numbers, such as token ids"):
        renderer(template, columns)(row)


def test_infinite_numbers_are_refused() -> None:
    with pytest.raises(FaithfulError, match="infinite"):
        text_of(None, {"text": math.inf}, ("text",))


BOTH = [
    {"role": "user", "content": "Hi", "from": None, "value": None},
    {"role": None, "content": None, "from": "gpt", "value": "Hello"},
]
ONE_EACH = [{"role": "user", "content": "Hi"}, {"from": "gpt", "value": "Hello"}]
NANS = [
    {"role": "user", "content": "Hi", "value": math.nan},
    {"role": math.nan, "content": math.nan, "from": "gpt", "value": "Hello"},
]
COLUMNS = {"from": ["human", "gpt"], "value": ["Hi", "Hello"]}


@pytest.mark.parametrize("turns", [BOTH, ONE_EACH, NANS, COLUMNS])
def test_turns_of_two_styles_in_one_chat_are_all_there(turns: Any) -> None:
    assert text_of("chat", {"messages": turns}) == "User: Hi\n\nAssistant: Hello"


def test_an_empty_field_gives_way_to_the_one_that_holds_the_text() -> None:
    turns = [
        {"role": "", "from": "human", "content": "", "value": "Hi"},
        {"role": "tool", "content": None, "calls": [1]},
    ]
    assert text_of("chat", {"messages": turns}) == "User: Hi"


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        ({"speaker": "a", "utterance": "Hi"}, "has the fields speaker, utterance and neither content nor value"),
        ({"user": "Hi"}, "has the fields user and"),
        ({"role": {"name": "user"}, "content": "Hi"}, "role of a turn is no text"),
        ({"role": "user", "content": {"parts": ["Hi"]}}, "structures"),
    ],
)
def test_turns_that_cannot_be_read_are_refused_by_name(turn: dict[str, Any], said: str) -> None:
    with pytest.raises(FaithfulError, match=said):
        text_of("chat", {"messages": [{"role": "user", "content": "x"}, turn]})


def test_a_column_of_messages_by_another_name_leads_to_the_template() -> None:
    with pytest.raises(FaithfulError, match="a list of messages is read with --column conversations --template chat"):
        choose(["id", "conversations"], None, None, "it")
