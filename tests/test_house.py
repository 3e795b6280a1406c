"""The house: floors and circles as `make lint` judges them, and how large its rooms and files are."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from studies.catalog import FOLDERS

ROOT = Path(__file__).parent.parent
PACKAGES = ("faithful", "generation", "studies")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
ROOMS = sorted({path.parent for path in SOURCES})
SHELVES = {"faithful/sae/variants"}
"""Rooms that hold any number of files: each stands for itself and is called by its name."""
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][0][
    "layers"
]


def judged(house: Path) -> subprocess.CompletedProcess[str]:
    """`lint-imports` as `make lint` calls it."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"],
        cwd=house, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(house), "COLUMNS": "200"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources alone, to plant something in; all studies that the catalog names stand on their floor."""
    house = tmp_path_factory.mktemp("house")
    for path in [*SOURCES, ROOT / "pyproject.toml"]:
        copy = house / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    rules = house / "pyproject.toml"
    floor = next(floor for floor in LAYERS if FOLDERS[0] in floor.split(" | "))
    elsewhere = {name for one in LAYERS if one != floor for name in one.split(" | ")}
    added = " | ".join(name for name in FOLDERS if name not in elsewhere)
    rules.write_text(rules.read_text(encoding="utf-8").replace(floor, added), encoding="utf-8")
    return house


def test_the_house_as_it_stands_is_kept(house: Path) -> None:
    done = judged(house)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("faithful/base/errors.py", "import generation.own.generate", "floors"),
        ("faithful/training/train.py", "import studies.catalog", "floors"),
        ("studies/seeds/study.py", "import studies.fakes.rules", "floors"),
        ("generation/own/forecast.py", "def late():\n    import studies.report.write", "floors"),
        ("studies/seeds/matching.py", "import studies.seeds.study", "circles"),
    ],
)
def test_a_planted_arrow_is_refused(house: Path, file: str, line: str, broken: str) -> None:
    path = house / file
    before = path.read_text(encoding="utf-8")
    path.write_text(f"{before}\n{line}\n", encoding="utf-8")
    try:
        done = judged(house)
    finally:
        path.write_text(before, encoding="utf-8")
    title = {"floors": "Imports go to lower floors only", "circles": "No circles among files or rooms"}[broken]
    assert done.returncode == 1
    assert any(row.startswith(title) and "BROKEN" in row for row in done.stdout.splitlines()), done.stdout


def test_every_room_stands_on_a_floor() -> None:
    named = {*FOLDERS, *(name.strip() for floor in LAYERS for name in floor.split("|"))}
    rooms = {".".join(room.relative_to(ROOT).parts) for room in ROOMS} - set(PACKAGES)
    assert {room for room in rooms if not any(room == name or room.startswith(f"{name}.") for name in named)} == set()
    assert {name for name in named if not (ROOT / name.replace(".", "/")).is_dir()} == {"studies.catalog"}


def test_rooms_and_files_are_of_a_size_to_be_overlooked() -> None:
    """At most 15 files in a room; files of at most 400 lines but the assignment, one algorithm in one piece."""
    full = Counter(path.parent.relative_to(ROOT).as_posix() for path in SOURCES)
    assert {room for room, files in full.items() if files > 15} <= SHELVES
    long = {str(path.relative_to(ROOT)) for path in SOURCES if len(path.read_text(encoding="utf-8").splitlines()) > 400}
    assert long == {"studies/seeds/assignment.py"}


def code_lines(function: ast.FunctionDef, lines: list[str]) -> int:
    """Lines of a function without its docstring, comments and blank ones."""
    is_said = ast.get_docstring(function, clean=False) is not None
    said = range(function.body[0].lineno, (function.body[0].end_lineno or 0) + 1) if is_said else range(0)
    own = range(function.lineno, (function.end_lineno or 0) + 1)
    return sum(lines[n - 1].strip()[:1] not in ("", "#") for n in own if n not in said)


def test_functions_are_of_a_size_to_be_read_at_once() -> None:
    long: dict[str, int] = {}
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
        counts = {f"{path.relative_to(ROOT)} {one.name}": code_lines(one, text.splitlines()) for one in functions}
        long |= {name: lines for name, lines in counts.items() if lines > 60}
    assert long == {}


def test_the_modules_of_contributing_fit_into_their_rooms() -> None:
    """Each where the page puts it, with the test of its name that the page names."""
    examples = [Path(name) for name in re.findall(r"[Hh]ere\s`(\S+\.py)`", CONTRIBUTING)]
    assert len(examples) == 3
    full = {path.parent.as_posix() for path in examples if len([*(ROOT / path.parent).glob("*.py")]) >= 15}
    assert full <= SHELVES
    unnamed = [path.name for path in examples if f"`tests/{path.parent}/test_{path.name}`" not in CONTRIBUTING]
    assert unnamed == []


def test_every_room_says_what_it_is() -> None:
    silent = [room for room in ROOMS if not (room / "__init__.py").read_text(encoding="utf-8").startswith('"""')]
    assert [str(room.relative_to(ROOT)) for room in silent] == []


def has_logic(path: Path) -> bool:
    """Whether a module has a public function or class that does anything: not records, protocols and constants alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    public = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"]
    functions = [
        one
        for node in public
        for one in ([node] if isinstance(node, ast.FunctionDef) else node.body)
        if isinstance(one, ast.FunctionDef)
    ]
    said = (ast.Expr, ast.Pass)  # a docstring, or nothing
    return any(not all(isinstance(step, said) for step in function.body) for function in functions)


def test_parquet_is_read_in_row_groups_without_its_columns_being_fetched_ahead() -> None:
    """`ParquetFile` fetches the chosen columns of a whole file before the first batch unless it is told not to."""
    calls = [
        (path, call)
        for path in SOURCES
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("ParquetFile")
    ]
    assert calls
    for path, call in calls:
        told = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert told.get("pre_buffer") == "False", f"{path}:{call.lineno}"


def names_of_any(trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """By module: names that stand for a type with `dict[str, Any]` in it, its own ones and those that it imports."""
    found: dict[str, set[str]] = {module: set() for module in trees}
    while True:
        before = sum(map(len, found.values()))
        for module, tree in trees.items():
            for node in tree.body:
                if isinstance(node, ast.ImportFrom):
                    of = found.get(node.module or "", set())
                    found[module] |= {one.asname or one.name for one in node.names if one.name in of}
                elif isinstance(node, ast.Assign) and count_of_any(ast.unparse(node.value), found[module]):
                    found[module] |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        if before == sum(map(len, found.values())):
            return found


def count_of_any(annotation: str, names: set[str]) -> int:
    """How often a type says `dict[str, Any]`, itself or by a name."""
    return annotation.count("dict[str, Any]") + sum(word in names for word in re.findall(r"\w+", annotation))


def annotations(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """The types in a function's signature."""
    arguments = [one.annotation for one in ast.walk(function.args) if isinstance(one, ast.arg)]
    return [ast.unparse(one) for one in [*arguments, function.returns] if one is not None]


def test_few_signatures_hold_a_dict_of_anything() -> None:
    """At most 80, where JSON, TOML and the arguments of other packages come in and go out; by another name it counts too."""
    trees = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text(encoding="utf-8"))
        for path in SOURCES
    }
    names = names_of_any(trees)
    counted = {
        f"{module}:{function.lineno} {function.name}": count
        for module, tree in trees.items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and (count := sum(count_of_any(one, names[module]) for one in annotations(function)))
    }
    assert sum(counted.values()) <= 80, "\n".join(f"{count} {where}" for where, count in counted.items())


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("def f(a: 'dict[str, Any] | None', *b: list[dict[str, Any]]) -> dict[str, int]: ...", 2),
        ("class A:\n    async def f(self) -> Mapping[str, dict[str, Any]]: ...", 1),
        ("Found = dict[str, Any]\nEvery = list[Found]\ndef f(a: Found, b: Every) -> int: ...", 2),
        ("from other import Found as One\ndef f(a: One) -> Found: ...", 1),
        ("def f(a: object) -> None:\n    b: dict[str, Any] = {}", 0),
    ],
)
def test_a_dict_of_anything_is_counted_by_whatever_name(source: str, count: int) -> None:
    trees = {"here": ast.parse(source), "other": ast.parse("Found = dict[str, Any]")}
    names = names_of_any(trees)["here"]
    functions = [one for one in ast.walk(trees["here"]) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert sum(count_of_any(said, names) for one in functions for said in annotations(one)) == count


def test_every_module_that_has_logic_has_a_test_of_its_name() -> None:
    """In the mirrored place."""
    modules = {str(path.relative_to(ROOT)) for path in SOURCES if path.name[:2] != "__" and has_logic(path)}
    tested = {
        f"{path.parent.relative_to(ROOT / 'tests')}/{path.name.removeprefix('test_')}"
        for path in (ROOT / "tests").rglob("test_*.py")
    }
    assert modules - tested == set()
