"""Probe tasks under the names that sets give them."""

import pytest

from generation.sources.task_names import PROBE_TASKS, names_one_of


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
