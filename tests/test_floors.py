"""The house: who may import whom, how long a room may be, and who may touch the outside."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

import tarlayers
from tests.paths import ROOT

PACKAGE = ROOT / "tarlayers"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name not in ("__init__.py", "__main__.py"))
LONGEST_FUNCTION = 52  # the loop over headers, where a call an entry would cost a tenth of the walk


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def read_floors() -> tuple[dict[str, int], set[tuple[str, str]]]:
    """The table and the sideways edges, from the package's docstring."""
    text = tarlayers.__doc__ or ""
    floors = {
        name: int(number)
        for number, names in re.findall(r"^    (\d)  (.+)$", text, re.MULTILINE)
        for name in names.split()
    }
    edges = {
        (source, target)
        for source, names in re.findall(r"^    (\S+) -> (.+)$", text, re.MULTILINE)
        for target in names.split()
    }
    return floors, edges


FLOORS, EDGES = read_floors()


def imports_of(path: Path) -> Iterator[str]:
    """The modules of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tarlayers"):
            module = (node.module or "").partition(".")[2]
            for alias in node.names:
                inner = f"{module}.{alias.name}".lstrip(".")
                yield inner if (PACKAGE / f"{inner.replace('.', '/')}.py").exists() else module


def floor_of(module: str) -> int:
    return FLOORS[module.partition(".")[0]]


def is_meant(source: str, target: str) -> bool:
    return any(fnmatch(source, above) and fnmatch(target, below) for above, below in EDGES)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    source = name_of(path)
    wrong = [
        target
        for target in imports_of(path)
        if target != source
        and (
            floor_of(target) > floor_of(source)
            or (floor_of(target) == floor_of(source) and not is_meant(source, target))
        )
    ]
    assert not wrong, f"{source} imports {wrong}: not from a lower floor, and not a meant edge"


def test_every_module_has_a_floor_and_every_edge_is_used() -> None:
    assert {name_of(path).partition(".")[0] for path in MODULES} <= FLOORS.keys()
    used = {(name_of(path), target) for path in MODULES for target in imports_of(path)}
    unused = {edge for edge in EDGES if not any(fnmatch(s, edge[0]) and fnmatch(t, edge[1]) for s, t in used)}
    assert not unused


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p).startswith("formats.")], ids=name_of)
def test_formats_know_no_outside(path: Path) -> None:
    tree = ast.parse(path.read_bytes())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not names & {"os", "sys", "time", "logging", "pathlib", "subprocess"}
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert "open" not in calls


@pytest.mark.parametrize("path", [p for p in MODULES if not name_of(p).startswith("cli.")], ids=name_of)
def test_only_the_command_line_speaks(path: Path) -> None:
    tree = ast.parse(path.read_bytes())
    text = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name)}
    assert not text & {"print", "sys.exit", "os.environ", "os.getenv", "sys.stdout", "sys.stderr", "sys.argv"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_are_short(path: Path) -> None:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    functions = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, kinds)]
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno and f.name != "command"}
    assert not {name: lines for name, lines in long.items() if lines > LONGEST_FUNCTION}


def test_public_names_are_where_the_package_says() -> None:
    typed = {alias.name for node in ast.walk(ast.parse(inspect.getsource(tarlayers))) for alias in _typed_names(node)}
    assert sorted(typed) == tarlayers.__all__
    for name in tarlayers.__all__:
        assert getattr(tarlayers, name).__doc__, name
        assert re.fullmatch(r"[A-Z]\w+|[a-z]+(_[a-z]+)+", name), name


def _typed_names(node: ast.AST) -> list[ast.alias]:
    """The names of an import that says which module of the package they come from."""
    return node.names if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tarlayers.") else []
