"""What may be said of a ranking of blocks: how it compares with the direct check, how certain it is, where it is from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import numpy as np

from ..engine.resolving import CALIBRATED, EMPIRICAL, Chosen
from ..probing.ablation import agreement_by_step, agreement_p
from ..schedule import ImportanceTable

SURE = 0.05  # p from which on an agreement may be chance
STRONG = 0.5  # tau-b from which on a ranking agrees, or contradicts, without "partly"
LEANING = 0.3  # tau-b from which on an agreement that may be chance has a direction
PAPERS = "The paper's probe"
TITLES = {  # of a method: as a title, within a sentence, in file names
    "probe:paper-code": ("The paper's probe", "the paper's probe", "paper"),
    "probe:paper-text": ("The paper's probe, as its text has it", "the paper's probe as its text has it", "paper-text"),
    f"probe:{CALIBRATED}": ("Calibrated (ours)", "our calibrated probe", "calibrated"),
    EMPIRICAL: ("Empirical, no probe", "the empirical strategy", "empirical"),
    "": ("Weights", "the table of weights", "weights"),
}


def titled(chosen: Chosen) -> str:
    """The title of a ranking, by the method of its own scores."""
    of_others = ", mean of other prompts" if _of_others(chosen) else ""
    return TITLES.get(chosen.method, (f"Scores by {chosen.method}",))[0] + of_others


def spoken(chosen: Chosen, *, plain: bool = False) -> str:
    """A ranking within a sentence, or plain: in the names of files; by the method of its own scores."""
    known = TITLES.get(chosen.method, ("", f"the ranking by {chosen.method}", "other"))
    return known[2] if plain else known[1] + (" on other prompts" if _of_others(chosen) else "")


def _of_others(chosen: Chosen) -> bool:
    return chosen.table is None and chosen.method.startswith("probe:")


@dataclass(frozen=True)
class Check:
    """How a ranking agrees with the direct check: tau-b at each step, and p, see `agreement_p`. unfinished: as below."""

    by_step: tuple[float, ...]
    p: float
    unfinished: str = ""

    @classmethod
    def of(cls, chosen: Chosen, errors: np.ndarray) -> Check:
        """Of the scores that serve, with the errors (T, m) of the direct check."""
        by_step = tuple(agreement_by_step(chosen.scores, errors).tolist())
        return cls(by_step, agreement_p(chosen.scores, errors), unfinished(chosen.table))

    @property
    def tau(self) -> float:
        """The mean over the steps."""
        return float(np.mean(self.by_step))

    def says(self) -> str:
        """What follows the ranking's name in a sentence."""
        if self.unfinished:
            return f"is unfinished (provisional, {self.unfinished}): no verdict yet"
        return f"{relation(self.tau, self.p)} ({self.numbers()})"

    def columns(self) -> dict[str, float | int]:
        """tau-b and what it is of, for a CSV file."""
        return {"tau_b_mean_over_steps": round(self.tau, 4), "p": round(self.p, 4), "prompts": 1, "noises": 1}

    def numbers(self) -> str:
        """tau-b and p."""
        p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}" if self.p < 0.1 else f"p = {self.p:.2f}"
        return f"tau-b {signed(self.tau)}, {p}"


def relation(tau: float, p: float) -> str:
    """Kendall's tau-b with the direct check in words: what chance alone gives is called neither agreement nor contradiction."""
    if p >= SURE:
        if abs(tau) < LEANING:
            return "is no closer to the direct check than a random order"
        return f"leans {'towards' if tau > 0 else 'against'} the direct check, but not beyond chance"
    return f"{'' if abs(tau) >= STRONG else 'partly '}{'agrees with' if tau > 0 else 'contradicts'} the direct check"


def unfinished(table: ImportanceTable | None) -> str:
    """How far a table's probe has come, "2 of 15 runs"; empty where it has ended."""
    done, asked = (
        (None, None) if table is None else (table.diagnostics.get("runs_completed"), table.settings.get("runs"))
    )
    if (
        type(done) is not int
        or type(asked) is not int
        or table is None
        or done >= asked
        or table.settings.get("precision")
    ):
        return ""
    return f"{done} of {asked} runs"


def signed(value: float) -> str:
    """A number with its sign: +0.90, −0.70."""
    return f"{value:+.2f}".replace("-", "−")


def verdict(checks: Mapping[str, Check | None], followed: str) -> str:
    """One sentence on the rankings, and which one the weights follow. checks: by name, None where not measured."""
    known = [f"{name} {check.says()}" for name, check in checks.items() if check is not None]
    said = (
        "; ".join(known)
        if known
        else "Not compared with the direct check yet on this page, which switches each block off and measures how much the output changes"
    )
    return f"{said[:1].upper()}{said[1:]}. The weights follow {followed}."


def definition(seed: int, steps: int, m: int) -> str:
    """What the direct check and tau-b are, as sentences. seed: of the check; m: the number of blocks."""
    over = f" at each step, mean of the {steps} steps" if steps > 1 else ""
    return (
        "Direct check: each block is switched off at one step, and the mean squared change of the U-Net's output at that step "
        "is measured; this is not the change of the final picture (see Ablate), which may be ordered otherwise. Tau-b: "
        f"Kendall's rank correlation with it over the {m} blocks{over} (1 same order, 0 chance, −1 opposite), of 1 prompt and "
        f"1 noise (the check's: seed {seed})."
    )


def compared(scheduler: str) -> str:
    """How p is found, and why the probe's scheduler is not the pictures', as markup."""
    differs = "" if scheduler == "DDIMScheduler" else f", not the {escape(scheduler)} of the pictures"
    return (
        "<p>p: two-sided, from permuting the blocks in the same way at every step. From p = 0.05 on, or below tau-b ±0.5, the "
        "sentence above uses a weaker word. Probe and check run deterministic DDIM (the paper's Eq. 1)"
        f"{differs}: no step adds noise, so outputs differ by the weights alone.</p>"
    )


def by_step(checks: Mapping[str, Check | None]) -> str:
    """tau-b of every ranking at every step, as a table."""
    known = {name: check for name, check in checks.items() if check is not None}
    head = "".join(
        f'<th scope="col">step {t + 1}</th>'
        for t in range(max((len(one.by_step) for one in known.values()), default=0))
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}{", provisional" if check.unfinished else ""}</th>'
        + "".join(f"<td>{signed(tau)}</td>" for tau in (*check.by_step, check.tau))
        + "</tr>"
        for name, check in known.items()
    )
    return f'<div class="rw-scroll"><table><thead><tr><th></th>{head}<th scope="col">mean</th></tr></thead><tbody>{rows}</tbody></table></div>'


def provenance(chosen: Chosen) -> str:
    """Seed, scheduler and runs of the table that serves, for captions; empty where there is no table."""
    table = chosen.table
    if table is None:
        return ""
    seed = "" if table.seed is None else f"seed {table.seed}"
    runs = unfinished(table) or f"{table.runs} run{'s' * (table.runs != 1)}"
    return ", ".join(filter(None, (seed, table.scheduler.removesuffix("Scheduler"), runs)))


def findings(table: ImportanceTable | None, check: Check | None = None) -> str:
    """What may be said for and against a table, in plain words. check: the one of the page's heading, if it was made."""
    if table is None:
        return (
            "<p>These scores were not probed for this prompt. <b>Probe this prompt</b> measures the importance of every block at "
            "every step, and says here how far to trust it.</p>"
        )
    says = [f"Checked directly: this ranking {check.says()}."] if check else []
    says += [_runs(table), *_search(table)]
    if table.settings.get("surrogate") is True:
        says.append(
            "Candidates far from the error tolerance were decided by a linear approximation of the model's output, which was "
            "checked on evaluated candidates at every step; those near it were evaluated."
        )
    return "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in says) + "</ul>"


def _runs(table: ImportanceTable) -> str:
    runs = f"{table.runs} run{'s' if table.runs != 1 else ''}"
    if _diagnostic(table, "runs_completed") == 0:
        return f"{runs} in progress: the scores are averaged over them."
    said = f"{runs} voted" + (f", provisional: {so_far}" if (so_far := unfinished(table)) else "")
    if table.runs < 2:
        return f"{said}; one run cannot tell how uncertain a score is."
    ends = score_interval(table)
    if ends is None:
        return f"{said}."
    half = (ends[1] - ends[0]) / 2
    return (
        f"{said}; a score's 95% interval (bootstrap over the runs) is ±{half.mean():.2f} on average and ±{half.max():.2f} at most, "
        "and of width 0 where every run ranked the block alike. Another noise seed may move scores beyond it."
    )


def _search(table: ImportanceTable) -> list[str]:
    rate, fired = (_diagnostic(table, name) for name in ("acceptance_rate", "bypasses_fired"))
    ours = table.method == f"probe:{CALIBRATED}"
    says = []
    if rate is not None and ours:
        says.append(
            f"With random blocks switched off, the output kept within {rate:.0%} of the error limits tried, from strict to "
            "lenient, on average."
        )
    elif rate is not None:
        much = ": too few to learn from, so the order is mostly noise." if rate < 0.02 else "."
        says.append(f"The search accepted {rate:.0%} of its candidates{much}")
    if fired and ours:
        says.append(f"In all runs together, a block was switched off {fired:.0f} times.")
    elif fired:
        says.append(f"A weight fell below its block's threshold, which switched the block off, {fired:.0f} times.")
    elif fired is not None:
        says.append("No block was ever switched off: the ranking comes from how far weights drifted down.")
    return says


def score_interval(table: ImportanceTable | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Both ends of every score's 95% interval over the runs, each (T, m) in [0, 1], where the table tells."""
    low, high = (None if table is None else _of_cells(table, f"interval_{end}") for end in ("low", "high"))
    return None if low is None or high is None else (low.clip(0, 1), high.clip(0, 1))


def _of_cells(table: ImportanceTable, name: str) -> np.ndarray | None:
    told = table.diagnostics.get(name)
    try:
        values = np.asarray(told, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return values if told is not None and values.shape == table.scores.shape and np.isfinite(values).all() else None


def _diagnostic(table: ImportanceTable, name: str) -> float | None:
    value = table.diagnostics.get(name)
    return value if type(value) in (int, float) and np.isfinite(value) else None
