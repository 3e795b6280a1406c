"""The floor of words: what words tell and nothing else, against scikit-learn's own cross-validation."""

import numpy as np
import pytest

from faithful.models.spec import resolve_model
from faithful.models.tokenizer import load_tokenizer
from generation.external.encoder import Encoder
from studies.probes.score import plan_probes
from studies.probes.tasks.examples import Examples, TaskData
from studies.probes.tasks.task import Task
from studies.probes.words import CS, as_read, words_floor
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


def test_words_beyond_the_models_context_are_not_read() -> None:
    spec = resolve_model("tiny")
    encoder = Encoder(load_tokenizer(spec.files, spec.hub_revision()), spec, 12)
    y = [int(n % 2) for n in range(120)]
    early = [f"{('alpha', 'beta')[label]}  for x in\trange({n}):" + " pass" * 30 for n, label in enumerate(y)]
    late = [f"for x in range({n}):" + " pass" * 30 + f" {('alpha', 'beta')[label]}" for n, label in enumerate(y)]
    found = []
    for texts in (early, late):
        data = as_read(task(texts, y, 40), encoder)
        read = [*data.test.texts, *data.train.texts]
        assert all(whole.startswith(part) and len(part) < len(whole) for whole, part in zip(texts, read, strict=True))
        found.append(words_floor(data, plan_probes(data, 4, 1, (), 0))["accuracy"])
    assert found[0] == 1.0 and found[1] < 0.7
    short = task(["a  b\n", "c"] * 4, [0, 1] * 4, 2)
    assert as_read(short, encoder).test.texts == short.test.texts
