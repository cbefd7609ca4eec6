"""What holds in every source file: text has an encoding, no mode of torch's reaches the caller of a generator, and no
files import each other in a circle."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [ROOT / "app.py", *sorted((ROOT / "reweight").rglob("*.py")), *sorted((ROOT / "tests").rglob("*.py"))]
MODES = set("rwxabt+")
GRAD_MODES = {"inference_mode", "no_grad", "enable_grad", "set_grad_enabled"}


@cache
def tree_of(path: Path) -> ast.Module:
    """A file's syntax, read once for all checks."""
    return ast.parse(path.read_bytes())


def without_encoding(tree: ast.AST) -> list[int]:
    """Lines that read or write text in the machine's encoding."""
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_unencoded_text(node)]


def leaking_modes(tree: ast.AST) -> list[int]:
    """Lines that yield inside `with torch.inference_mode():` and the like."""
    return sorted(
        found.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.With) and any(_name(item.context_expr) in GRAD_MODES for item in node.items)
        for statement in node.body
        for found in _own(statement)
        if isinstance(found, (ast.Yield, ast.YieldFrom))
    )


def _own(node: ast.AST):
    """A node and what is in it, functions of its own apart."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from _own(child)


def _is_unencoded_text(call: ast.Call) -> bool:
    name, keywords = _name(call), {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in keywords or None in keywords:
        return False
    if name in ("read_text", "write_text"):
        return len(call.args) < (1 if name == "read_text" else 2)
    if name in ("run", "Popen", "check_output", "check_call"):
        return any(flag in keywords for flag in ("text", "universal_newlines"))
    if name in ("TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile", "fdopen"):
        return any(_is_mode(mode) and "b" not in mode.value for mode in [*call.args, *keywords.values()])
    if name == "open":
        method = isinstance(call.func, ast.Attribute)
        mode = keywords.get("mode", call.args[0 if method else 1] if len(call.args) > (not method) else None)
        return (not method or not call.args) if mode is None else _is_mode(mode) and "b" not in mode.value
    return False


def _is_mode(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(node.value) and set(node.value) <= MODES
    )


def _name(node: ast.AST) -> str:
    function = node.func if isinstance(node, ast.Call) else node
    return getattr(function, "attr", getattr(function, "id", ""))


def imports_of(tree: ast.Module, package: str, modules: set[str]) -> set[str]:
    """The modules that a file of a package imports from the house as it is loaded, or for the sake of a type."""
    found = set()
    statements = [child for node in tree.body for child in (node.body if isinstance(node, ast.If) else [node])]
    for node in statements:
        if isinstance(node, ast.ImportFrom) and node.level:
            parents = package.split(".")
            base = ".".join([*parents[: len(parents) + 1 - node.level], *filter(None, [node.module])])
            found |= {name for item in node.names if (name := f"{base}.{item.name}") in modules} or {base}
    return found & modules


def test_no_files_import_each_other_in_a_circle():
    files = {path.relative_to(ROOT).with_suffix(""): path for path in FILES if path.is_relative_to(ROOT / "reweight")}
    names = {".".join(name.parts).removesuffix(".__init__"): path for name, path in files.items()}
    graph = {}
    for name, path in names.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        graph[name] = imports_of(tree_of(path), package, set(names))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"These import each other: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize("check", [without_encoding, leaking_modes])
def test_every_file(check):
    found = {str(path.relative_to(ROOT)): check(tree_of(path)) for path in FILES}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize("code, caught", [
    ("p.read_text()", True), ("p.read_text('utf-8')", False), ("p.write_text(t)", True), ("open(p)", True),
    ("p.write_text(t, encoding='utf-8')", False), ("open(p, 'rb')", False), ("open(p, 'w')", True), ("p.open()", True),
    ("p.open('xb')", False), ("p.open('a')", True), ("Image.open(path)", False), ("engine.open('toy')", False),
    ("subprocess.run(c, text=True)", True), ("subprocess.run(c)", False), ("tempfile.TemporaryFile('w+')", True),
    ("tempfile.TemporaryFile()", False),
])  # fmt: skip
def test_the_check_of_encodings(code, caught):
    assert bool(without_encoding(ast.parse(code))) == caught


@pytest.mark.parametrize("code, caught", [
    ("def f():\n with torch.inference_mode(), g():\n  for i in j:\n   yield i", True),
    ("def f():\n with torch.no_grad():\n  x = 1\n yield x", False),
    ("def f():\n with no_grad():\n  yield from g()", True),
    ("def f():\n with g():\n  yield 1", False),
])  # fmt: skip
def test_the_check_of_modes(code, caught):
    assert bool(leaking_modes(ast.parse(code))) == caught
