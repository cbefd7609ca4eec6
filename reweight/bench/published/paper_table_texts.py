"""Markdown tables of our measurements for the paper's tables and figures, as paired differences."""

from __future__ import annotations

from typing import Any

from .results import Results, interval, markdown

ROWS = {"table1": "block", "fig1": "weights"}


def paired(results: Results, *names: str) -> str:
    """Rows of one or several tables at one number of steps: paired difference in score, and SSIM with vanilla."""
    rows: dict[str, list[str]] = {}
    for name in names:
        for pair in results[name]["paired"]:
            rows.setdefault(pair["variant"], [pair["variant"], _difference(pair), _ssim(pair)])
    return markdown(["weights", "score, x - vanilla", "SSIM with vanilla"], list(rows.values()))


def by_steps(results: Results, name: str) -> str:
    """A table over numbers of steps: the paired difference at each, and SSIM with vanilla at the middle one."""
    pairs = {(pair["variant"], pair["steps"]): pair for pair in results[name]["paired"]}
    steps = sorted({number for _, number in pairs})
    middle = steps[len(steps) // 2]
    vanilla = {cell["column"]: cell for cell in results[name]["cells"] if cell["row"] == "vanilla"}
    base = [f"{vanilla[f'{number} steps']['score'][0]:.4f}" for number in steps]
    rows = [["vanilla's score", *base, ""]]
    for label in dict.fromkeys(label for label, _ in pairs):
        own = [pairs.get((label, number)) for number in steps]
        title = label.removeprefix("blk-")
        cells = ["" if pair is None else _difference(pair) for pair in own]
        rows.append([title, *cells, _ssim(pairs.get((label, middle)))])
    heads = [f"{number} step{'s' * (number > 1)}" for number in steps]
    return markdown([ROWS.get(name, ""), *heads, f"SSIM with vanilla, {middle} steps"], rows)


def pruned(results: Results, name: str = "fig3-toy-turbo") -> str:
    """Figure 3 without fine-tuning: SSIM with vanilla for each pruned block, pair and strategy."""
    cells = {cell["row"]: cell for cell in results[name]["cells"]}
    groups: dict[str, list[str]] = {}
    for label, cell in cells.items():
        kind, _, rest = label.partition(" ")
        if kind in ("static", "symmetric"):
            groups.setdefault(f"{kind}: at every step", []).append(f"{rest} {cell['ssim'][0]:.2f}")
    for kind, title in (("skip-1", "one block a step by the probe's two lowest ranks"),
                        ("skip-2", "two blocks a step by its three lowest ranks")):  # fmt: skip
        values = [cell["ssim"][0] for label, cell in cells.items() if label.startswith(kind)]
        groups[f"{kind}: {title}"] = [f"{min(values):.2f} to {max(values):.2f}"]
    return markdown(["left out", "SSIM with vanilla"], [[title, ", ".join(values)] for title, values in groups.items()])


def table_2(results: Results, name: str = "table2-toy-turbo") -> str:
    """The ranking of the blocks at each step, ours and the paper's (Table II)."""
    found = results[name]
    rows = [
        [str(step + 1), " ".join(ours), " ".join(printed)]
        for step, (ours, printed) in enumerate(zip(found["ranking"], found["printed"], strict=True))
    ]
    return markdown(["step", "ours, least important first", "the paper's (SD-Turbo)"], rows)


def _difference(pair: dict[str, Any]) -> str:
    if pair["low"] is None:
        return f"{pair['minus_vanilla']:+.4f}"
    return interval((pair["minus_vanilla"], pair["low"], pair["high"]))


def _ssim(pair: dict[str, Any] | None) -> str:
    return "" if pair is None or pair["ssim"] is None else f"{pair['ssim']:.4f}"
