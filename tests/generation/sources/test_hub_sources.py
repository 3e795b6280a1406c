"""Sets on the Hub, streamed from a server on this machine: what arrives, what is survived, what is said."""

import gzip
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.generation.sources.hub_server import SHA, Hub, serving

LARGE = 200  # row groups
LONG = 6000  # rows of 4 KB: more than the library reads ahead


def parquet(**columns: list[Any]) -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.table(columns), content, row_group_size=100)
    return content.getvalue()


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def readme(body: str) -> bytes:
    return f"---\n{body}\n---\n# A set\n".encode()


def web(shard: int) -> bytes:
    return parquet(text=[f"page {shard} {row}" for row in range(250)], url=["u"] * 250, pad=[os.urandom(40)] * 250)


def large() -> bytes:
    """One file of many row groups that do not compress."""
    content = io.BytesIO()
    texts = [os.urandom(500).hex() for _ in range(LARGE * 40)]
    pq.write_table(pa.table({"text": texts}), content, row_group_size=40, compression="none", use_dictionary=False)
    return content.getvalue()


def fill(hub: Hub) -> None:
    """Sets laid out as the real ones are, and sets with a fault each."""
    tasks = ["glue/sst2:2.0.0", "glue/mnli:2.0.0", "yelp_polarity_reviews:0.2.0", "ag_news_subset:1.0.0", "piqa:1.1.0"]
    flan = parquet(inputs=["Is it so?"] * 5, targets=["yes"] * 5, _task_name=tasks)
    turns = [[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": f"Hello {row}"}] for row in range(3)]
    sources = ["ai2-adapt-dev/flan_v2_converted", "ai2-adapt-dev/no_robots_converted", "allenai/coconot"]
    ni = [{"task_name": "task363_sst2_polarity", "id": "1", "definition": "Say it.", "inputs": "bad", "targets": "no"}]
    ni_other = [{"task_name": "task2_x", "id": "2", "definition": "Say it.", "inputs": "Now?", "targets": "yes"}]
    pile = [{"text": f"pile {row}", "meta": {"pile_set_name": "Github"}} for row in range(40)]
    frames = zstandard.compress(lines(pile[:25])) + zstandard.compress(lines(pile[25:]))
    wiki = ["", " = One = \n", "", " It rained , often @-@ so . \n", "", " = = Part = = \n", "", " More ( here ) . \n"]
    names = "task_name: x\n  splits:\n  - name: train\n  - name: validation"
    train = "configs:\n- config_name: {}\n  data_files:\n  - split: train\n    path: {}"
    two = "configs:\n" + "".join(
        f"- config_name: {c}\n  data_files:\n  - split: train\n    path: {c}.jsonl\n" for c in "ab"
    )
    hub.files |= {
        "open/web": {
            "README.md": readme("license: odc-by\n" + train.format("default", "data/train-*")),
            **{f"data/train-{shard:05d}-of-00003.parquet": web(shard) for shard in range(3)},
        },
        "open/many-files": {f"part-{file:02d}.parquet": parquet(text=[f"{file}", f"{file} too"]) for file in range(20)},
        "open/large": {"train.parquet": large()},
        "open/long": {"train.jsonl": lines([{"text": f"{row:04d}" * 1000} for row in range(LONG)])},
        "open/many": {"README.md": readme(two), "a.jsonl": lines([{"text": "a"}]), "b.jsonl": lines([{"text": "b"}])},
        "open/qa": {"train.jsonl": lines([{"question": "q", "answer": "a"}])},
        "open/scripted": {"scripted.py": b"import datasets", "data.bin": b""},
        "open/pictures": {"a.png": b"\x89PNG\r\n", "b.png": b"\x89PNG\r\n"},
        "open/damaged": {"train.parquet": web(0)[:-200]},
        "open/latin": {"train.csv": "text,n\ncaf\xe9,1\n".encode("latin-1")},
        "open/empty": {"train.parquet": parquet(text=pa.array([], pa.string()))},
        "open/readme": {"README.md": readme("license: mit")},
        "closed/gated": {"train.jsonl": lines([{"text": "secret"}])},
        "monology/pile-uncopyrighted": {
            "train/00.jsonl.zst": frames,
            "val.jsonl.zst": zstandard.compress(lines(pile[:1])),
            "test.jsonl.zst": zstandard.compress(lines(pile[:1])),
        },
        "allenai/c4": {
            "README.md": readme(train.format("en", "en/c4-train.*.json.gz")),
            "en/c4-train.00000-of-00002.json.gz": gzip.compress(lines([{"text": "c 0", "url": "u"}, {"text": " "}])),
            "en/c4-train.00001-of-00002.json.gz": gzip.compress(lines([{"text": "c 1", "url": "u"}])),
        },
        "Open-Orca/FLAN": {
            "flan_zsopt_data/part.0.parquet": flan,
            "flan_fsopt_data/part.0.parquet": flan,
            "README.md": readme("license: cc-by-4.0"),
        },
        "allenai/tulu-3-sft-mixture": {"data/train-00000-of-00001.parquet": parquet(messages=turns, source=sources)},
        "Muennighoff/natural-instructions": {
            "README.md": readme("dataset_info:\n  " + names),
            "train/task363_sst2_polarity_train.jsonl": lines(ni),
            "train/task2_x_train.jsonl": lines(ni_other),
            "test/task3_y_test.jsonl": lines(ni_other),
        },
        "Skylion007/openwebtext": {
            "openwebtext.py": b"import datasets",
            "plain_text/train-00000-of-00001.parquet": parquet(text=["from the web"]),
        },
        "Salesforce/wikitext": {
            "README.md": readme(train.format("wikitext-103-raw-v1", "wikitext-103-raw-v1/train-*")),
            "wikitext-103-raw-v1/train-00000-of-00001.parquet": parquet(
                text=[*wiki, "", " = Two = \n", "", " End . \n"]
            ),
        },
    }
    quoted = ["sentence\tlabel", '"the film\t0', *(f"line {row}\t1" for row in range(3)), 'and so on"\t0', "plain\t1"]
    pictures = io.BytesIO()
    picture = {"info": {"features": {"text": {"_type": "Image"}}}}
    table = pa.table({"text": [{"bytes": None, "path": "http://127.0.0.1:9/foreign/picture.png"}]})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(picture)}), pictures)
    hub.files |= {
        "open/quotes": {"train.tsv": "\n".join(quoted).encode()},
        "open/drift": {"a.parquet": parquet(text=["a"] * 5), "b.parquet": parquet(text=[["b"]] * 5)},
        "open/image-column": {"train.parquet": pictures.getvalue()},
    }
    hub.gated.add("closed/gated")


FOREIGN = {
    "an address": "configs:\n- config_name: default\n  data_files: {at}/foreign/a.jsonl",
    "an address of a split": (
        "configs:\n- config_name: default\n  data_files:\n  - split: train\n    path:\n    - t.jsonl\n    - {at}/foreign/b"
    ),
    "another configuration": (
        "configs:\n- config_name: a\n  data_files: train.jsonl\n- config_name: b\n  data_files: {at}/foreign/c.jsonl"
    ),
    "an archive": "configs:\n- config_name: default\n  data_files: zip://a.jsonl::{at}/foreign/d.zip",
    "an archive here": "configs:\n- config_name: default\n  data_files: zip://a.jsonl::/etc/passwd",
    "an absolute path": "configs:\n- config_name: default\n  data_files: /etc/passwd",
    "a way out": "configs:\n- config_name: default\n  data_files: data/../../../other/b/train.jsonl",
    "a home": "configs:\n- config_name: default\n  data_files: ~/.ssh/id_rsa",
    "another set": "configs:\n- config_name: default\n  data_files: hf://datasets/open/web/data/*",
    "a folder": "configs:\n- config_name: default\n  data_dir: {at}/foreign\n  data_files: e.jsonl",
    "local": "configs:\n- config_name: default\n  data_files: file:///etc/passwd",
    "capitals": "configs:\n- config_name: default\n  data_files: HTTP://127.0.0.1:9/foreign/f.jsonl",
    "another option": "configs:\n- config_name: default\n  data_files: train.jsonl\n  base_path: {at}/foreign",
}


def foreign(address: str) -> dict[str, dict[str, bytes]]:
    """Sets whose cards name files that are not theirs."""
    train = {"train.jsonl": lines([{"text": "mine"}])}
    sets = {
        f"evil/{name.replace(' ', '-')}": train | {"README.md": readme(card.replace("{at}", address))}
        for name, card in FOREIGN.items()
    }
    settings = FOREIGN["an address"].replace("{at}", address).encode()
    return sets | {"evil/settings": train | {".huggingface.yaml": settings}}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Hub]:
    """Results of every scenario, and the server as it was left."""
    hub = Hub()
    fill(hub)
    with serving(hub) as address:
        evil = foreign(address)
        hub.files |= evil
        offline = {"HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_TOKEN"}
        environment = {name: value for name, value in os.environ.items() if name not in offline} | {
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path_factory.mktemp("hub")),
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "FOREIGN": json.dumps(list(evil)),
            "NO_PROXY": "127.0.0.1",
        }
        done = subprocess.run(
            [sys.executable, "-m", "tests.generation.sources.hub_scenarios"],
            env=environment,
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout), hub


Results = tuple[dict[str, Any], Hub]


def texts(result: dict[str, Any]) -> list[str]:
    return [row["text"] for row in result["rows"]]


def ids(result: dict[str, Any]) -> list[str]:
    return [row["doc_id"] for row in result["rows"]]


def test_every_row_of_every_file_comes_once_from_a_pinned_revision(hub: Results) -> None:
    result = hub[0]["web"]
    assert sorted(texts(result)) == sorted(f"page {shard} {row}" for shard in range(3) for row in range(250))
    assert len(set(ids(result))) == 750
    assert result["identity"]["revision"] == SHA
    assert {result["identity"][name] for name in ("kind", "repo", "split")} == {"hub", "open/web", "train"}
    assert result["identity"]["columns"] == ["text"]
    assert result["provenance"]["licence"] == "odc-by"
    assert {row["source"] for row in result["rows"]} == {result["name"]} == {"web"}


def test_files_are_permuted_by_the_seed_and_read_in_turn(hub: Results) -> None:
    first, second = ids(hub[0]["many files"]), ids(hub[0]["many files, other seed"])
    assert "parts" not in hub[0]["many files"]["identity"]
    assert sorted(first) == sorted(second)
    assert first != second
    assert len({name.split(":")[0] for name in first[:16]}) == 16
    assert [int(name.split(":")[1]) for name in first[:32]] == [row for row in range(2) for _ in range(16)]


def test_few_files_are_read_by_row_groups_from_all_over_them(hub: Results) -> None:
    """Three files of three row groups: a row of each group in turn, numbered and typed as in the whole file."""
    result = hub[0]["web"]
    assert result["identity"]["parts"] == "row groups"
    rows = [
        (row["doc_id"].removeprefix("data/train-0000").split("-of-00003.parquet:"), row["text"])
        for row in result["rows"]
    ]
    assert all(text == f"page {file} {place}" for (file, place), text in rows)
    groups = [(file, int(place) // 100) for (file, place), _ in rows]
    assert set(groups[:9]) == {(file, group) for file in "012" for group in range(3)}
    assert [int(place) % 100 for (_, place), _ in rows][: 9 * 50] == [place for place in range(50) for _ in range(9)]
    assert ids(result) != ids(hub[0]["other seed"])


def test_a_row_group_is_fetched_without_the_rest_of_its_file(hub: Results) -> None:
    result = hub[0]["large"]
    assert result["rows"] == 16
    assert 0 < result["fetched"] < len(hub[1].files["open/large"]["train.parquet"]) / 4


def test_row_groups_survive_broken_connections(hub: Results) -> None:
    result = hub[0]["large, dropped"]
    assert result["problem"] == ""
    assert len(result["own"]) >= 1
    assert result["rows"] == hub[0]["large, whole"]
    assert sorted(int(name.split(":")[1]) for name in result["rows"]) == list(range(LARGE * 40))


def test_a_stream_goes_on_after_the_last_row(hub: Results) -> None:
    whole, *parts = hub[0]["resumed"]
    assert len(whole) == 750
    assert parts == [whole] * len(parts)


def test_broken_connections_are_tried_again_with_growing_pauses_and_nothing_is_lost(hub: Results) -> None:
    result = hub[0]["dropped"]
    assert result["rows"] == [f"train.jsonl:{row}" for row in range(LONG)]
    assert result["own"][0] == 0.25
    assert result["problem"] == ""
    assert hub[0]["too many requests"]["rows"] == result["rows"]
    assert hub[0]["too many requests"]["problem"] == ""


def test_a_server_that_fails_for_ever_is_one_sentence_and_leaves_a_state_to_go_on_from(hub: Results) -> None:
    result = hub[0]["500 for ever"]
    assert result["own"] == [0.25, 0.75]
    assert result["problem"].startswith("The connection to the Hub broke 3 times while reading long, train.jsonl (")
    assert "http://" not in result["problem"]
    assert result["problem"].endswith("; run the same command again later, it goes on from what is stored.")
    assert 500 <= len(result["rows"]) < LONG
    assert result["rows"] + result["rest"] == [f"train.jsonl:{row}" for row in range(LONG)]


def test_finding_a_set_survives_a_fault_too(hub: Results) -> None:
    assert hub[0]["description fails once"] == "no error"
    assert hub[0]["description fails for ever"].startswith(
        "The connection to the Hub broke 3 times while reading open/web"
    )


def test_packed_json_lines_are_read_to_the_last_frame(hub: Results) -> None:
    result = hub[0]["pile"]
    assert sorted(texts(result)) == sorted(f"pile {row}" for row in range(40))
    assert {row["source"] for row in result["rows"]} == {"Github"}
    assert result["identity"]["revision"] == "3be90335b66f24456a5d6659d9c8d208c0357119"
    assert (texts(hub[0]["c4"]), hub[0]["c4"]["dropped"]) == (["c 0", "c 1"], {"empty": 1})


def test_probe_tasks_are_left_out_by_name_and_counted(hub: Results) -> None:
    flan = hub[0]["flan"]
    assert [(row["text"], row["source"]) for row in flan["rows"]] == [
        ("Is it so? yes", "glue/mnli:2.0.0"),
        ("Is it so? yes", "piqa:1.1.0"),
    ]
    assert flan["dropped"] == {"task": 3}
    assert flan["identity"]["leave_out"] == ["sst2", "cola", "ag_news", "yelp"]
    assert flan["identity"]["data_files"] == ["flan_zsopt_data/*.parquet"]
    assert not [path for (_, path) in hub[1].asked if "flan_fsopt_data" in path]
    everything = hub[0]["flan, nothing left out"]
    assert (len(everything["rows"]), everything["dropped"]) == (5, {})
    tulu = hub[0]["tulu-3"]
    assert texts(tulu) == ["User: Hi\n\nAssistant: Hello 1", "User: Hi\n\nAssistant: Hello 2"]
    assert tulu["dropped"] == {"task": 1}


def test_a_declared_split_that_is_absent_does_no_harm(hub: Results) -> None:
    result = hub[0]["natural-instructions"]
    assert texts(result) == ["Say it.\nNow? yes"]
    assert result["dropped"] == {"task": 1}


def test_a_loading_script_is_stepped_around_where_the_catalog_knows_how(hub: Results) -> None:
    result = hub[0]["openwebtext"]
    assert texts(result) == ["from the web"]
    assert result["identity"]["data_files"] == ["plain_text/train-*.parquet"]
    assert result["identity"]["revision"] == "79d93d786212f7344586290adb811d4ae6a1762c"


def test_lines_of_wikitext_become_articles(hub: Results) -> None:
    assert texts(hub[0]["wikitext"]) == ["One\n\nIt rained, often-so.\n\nPart\n\nMore (here).", "Two\n\nEnd."]


def test_a_hub_id_of_the_catalog_is_read_as_the_catalog_says(hub: Results) -> None:
    assert hub[0]["by its Hub id"]["identity"] == hub[0]["flan"]["identity"]
    assert hub[0]["by its Hub id"]["name"] == "flan"


MISSING = "There is no '{}' on the Hub, or it is private: check the name, or log in with `hf auth login`."
SENTENCES = {
    "gated": "closed/gated is gated: accept its terms on the Hub and log in with `hf auth login`.",
    "missing": MISSING.format("open/nothing"),
    "private": MISSING.format("private/nothing"),
    "revision": "open/web has no revision 'v9'; check --revision.",
    "config missing": "open/many has several configs; choose one with --config: a, b.",
    "config": "open/many has no config 'c'; choose one with --config: a, b.",
    "split": "open/web has no split 'test'; it has train: choose with --split.",
    "column": "open/web has no column 'content'; it has text, url, pad.",
    "no text column": "open/qa has the columns question, answer, and none is called text; choose with --column or"
    " --template.",
    "template column": "open/qa has no column 'reply'; it has question, answer.",
    "script": "open/scripted is loaded by a script, which `datasets` refuses; name a revision without one, such as"
    " --revision refs/convert/parquet.",
    "pictures": "open/pictures holds files of the type imagefolder, not texts in columns; choose another set.",
    "empty": "open/empty holds no rows; choose another split or other files.",
}


@pytest.mark.parametrize("name", SENTENCES)
def test_what_cannot_be_read_is_refused_before_work_starts(hub: Results, name: str) -> None:
    assert hub[0][name] == SENTENCES[name]


@pytest.mark.parametrize(
    ("name", "begin", "say"),
    [
        ("damaged", "open/damaged cannot be opened (", "Parquet"),
        ("not unicode", "open/latin is not UTF-8 text (", "converted"),
        ("no files", "open/readme cannot be opened (", "data files"),
    ],
)
def test_damaged_sets_are_one_sentence(hub: Results, name: str, begin: str, say: str) -> None:
    assert hub[0][name].startswith(begin)
    assert say in hub[0][name]
    assert "\n" not in hub[0][name]


@pytest.mark.parametrize("repo", sorted(foreign("x")))
def test_files_outside_the_repository_are_refused_before_anybody_is_asked(hub: Results, repo: str) -> None:
    assert re.search(rf"The card of {repo} names '.+', which is no file of its repository", hub[0][repo])
    asked = [path for _, path in hub[1].asked if "foreign" in path]
    assert asked == []
    assert not any(path.endswith(f"{repo}/train.jsonl") for _, path in hub[1].asked)


def test_a_row_that_names_a_picture_elsewhere_is_not_fetched(hub: Results) -> None:
    assert "structures (dict)" in hub[0]["a file in place of pictures"]


def test_rows_that_stray_quotation_marks_joined_are_not_one_text(hub: Results) -> None:
    assert "a quotation mark seems to have joined several rows: 'the film" in hub[0]["stray quotes"]


def test_files_that_disagree_are_not_called_damaged(hub: Results) -> None:
    assert "its columns or their types are not those that the set began with" in hub[0]["drift"]
    assert "damaged" not in hub[0]["drift"]
