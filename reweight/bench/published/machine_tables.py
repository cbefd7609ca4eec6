"""Tables of time and memory on a machine: the components of full-size models."""

from __future__ import annotations

from .results import Results, markdown

DTYPES = ("bfloat16", "float32")


def parts(results: Results) -> str:
    """Processor time and peak memory of each component, in both dtypes."""
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for row in results["parts"]["parts"]:
        rows.setdefault(row["part"], {})[row["dtype"]] = row
    head = ["part", *(f"{what}, {dtype}" for what in ("CPU seconds", "peak GB") for dtype in DTYPES), "ratio of times"]
    lines = []
    for part, by in rows.items():
        times = [f"{by[dtype]['cpu_seconds']:.2f}" if dtype in by else "" for dtype in DTYPES]
        sizes = [f"{(by[dtype]['peak_megabytes'] or 0) / 1000:.1f}" if dtype in by else "" for dtype in DTYPES]
        both = len(by) == len(DTYPES)
        ratio = f"{by['float32']['cpu_seconds'] / by['bfloat16']['cpu_seconds']:.2f}" if both else ""
        lines.append([part, *times, *sizes, ratio])
    return markdown(head, lines)
