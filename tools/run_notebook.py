"""Run the code cells of a notebook here and write what they give into it: `python tools/run_notebook.py examples/tour.ipynb`.

Text and pictures alone are kept: no times, no paths, so that another run changes nothing where nothing has changed.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image


def run(notebook: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The outputs of each code cell, in order, as a notebook keeps them."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [_outputs("".join(cell["source"]), names, n) for n, cell in enumerate(cells, 1)]


def _outputs(source: str, names: dict[str, Any], n: int) -> list[dict[str, Any]]:
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    said, value = io.StringIO(), None
    with contextlib.redirect_stdout(said):
        exec(compile(tree, f"cell {n}", "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), f"cell {n}", "eval"), names)
    outputs: list[dict[str, Any]] = []
    if said.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": said.getvalue().splitlines(keepends=True)})
    if value is not None:
        data: dict[str, Any] = {"text/plain": [repr(value)]}
        if isinstance(value, Image.Image):
            file = io.BytesIO()
            value.save(file, format="PNG", optimize=True)
            data = {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": ["<a picture>"]}
        outputs.append({"output_type": "execute_result", "execution_count": n, "data": data, "metadata": {}})
    return outputs


def main(path: Path) -> None:
    """Run a notebook and write it back."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for n, (cell, outputs) in enumerate(zip(cells, run(notebook), strict=True), 1):
        cell |= {"execution_count": n, "outputs": outputs}
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
