"""The floor of words: what words tell and nothing else, against scikit-learn's own cross-validation."""

import numpy as np
import pytest

from studies.probes.score import plan_probes
from studies.probes.tasks.examples import Examples, TaskData
from studies.probes.tasks.task import Task
from studies.probes.words import CS, words_floor
from tests.studies.probes.data import RNG


def task(texts: list[str], y: list[int], tests: int) -> TaskData:
    def side(part: slice) -> Examples:
        return Examples(texts[part], np.array(y[part]), None, texts[part])

    labels = tuple(map(str, sorted(set(y))))
    return TaskData(Task("t", "files", "t"), labels, side(slice(tests, None)), side(slice(tests)), {}, None)


def test_a_word_that_tells_the_class_is_found_whatever_its_case_and_order_is_not() -> None:
    rng = RNG(3)
    words = ["harbour", "evening", "lamp", "tide", "keeper", "knot"]
    y = [int(n % 3) for n in range(240)]
    fill = [[str(word) for word in rng.choice(words, 6)] for _ in y]
    telling = [" ".join([*one, ("Alpha", "BETA", "gamma")[label]]) for one, label in zip(fill, y, strict=True)]
    ordered = [" ".join(sorted(one, reverse=bool(label == 1))) for one, label in zip(fill, y, strict=True)]
    found, order = (
        words_floor(data, plan_probes(data, 4, 1, (), 0)) for data in (task(telling, y, 60), task(ordered, y, 60))
    )
    assert found["accuracy"] == 1.0 and found["words"] == 9 and found["c"] in CS
    assert order["accuracy"] < 0.6, "a bag has no order"
    assert order["accuracy_ci95"][0] <= order["accuracy"] <= order["accuracy_ci95"][1]


def test_it_is_what_scikit_learn_chooses_and_says() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, PredefinedSplit

    rng = RNG(5)
    y = [int(n % 2) for n in range(300)]
    texts = [" ".join(str(word) for word in rng.integers(0, 60, 12) + 8 * label) + f" {n}" for n, label in enumerate(y)]
    data = task(texts, y, 100)
    plan = plan_probes(data, 4, 1, (), 0)
    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+")
    x = vectorizer.fit_transform(data.train.texts)
    search = GridSearchCV(
        LogisticRegression(max_iter=1000), {"C": list(CS)}, scoring="neg_log_loss", cv=PredefinedSplit(plan.folds)
    ).fit(x, data.train.y)
    found = words_floor(data, plan)
    assert found["c"] == search.best_params_["C"]
    right = search.best_estimator_.predict(vectorizer.transform(data.test.texts)) == data.test.y
    assert found["accuracy"] == pytest.approx(right.mean()) and 0.5 < right.mean() < 1


def test_texts_without_a_word_give_one_answer() -> None:
    y = [int(n % 3 == 0) for n in range(90)]
    data = task(["…" * (1 + n) for n in range(90)], y, 30)
    found = words_floor(data, plan_probes(data, 4, 1, (), 0))
    assert found["accuracy"] == pytest.approx(data.majority) and found["words"] == 1
