"""The compared variants: columns of methods with settings, and the public packages of two of the methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

VANILLA = "vanilla"
Beside = Callable[[Any], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Variant:
    """A compared variant.

    label: in tables. column: of methods; settings: by method, over the model's presets. beside: a package's context for
    the pipeline. ours: the label of our variant that a package is compared with.
    """

    label: str
    column: str = VANILLA
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    beside: Beside = lambda pipe: nullcontext()
    ours: str = ""


@contextmanager
def deepcache(pipe: Any, interval: int) -> Iterator[None]:
    """The DeepCache package's helper, branch 0. ImportError if it is not installed."""
    from DeepCache.extension.deepcache import DeepCacheSDHelper

    helper = DeepCacheSDHelper(pipe=pipe)
    helper.set_params(cache_interval=interval, cache_branch_id=0)
    helper.enable()
    try:
        yield
    finally:
        helper.disable()


@contextmanager
def tomesd(pipe: Any, ratio: float, downsample: int = 1) -> Iterator[None]:
    """The tomesd package's patch. ImportError if it is not installed."""
    import tomesd as package

    package.apply_patch(pipe, ratio=ratio, max_downsample=downsample)
    try:
        yield
    finally:
        package.remove_patch(pipe)


PACKAGES = (
    Variant("DeepCache package, every 3", beside=lambda pipe: deepcache(pipe, 3), ours="inherit, every 3"),
    Variant("tomesd package, 0.5", beside=lambda pipe: tomesd(pipe, 0.5), ours="tomesd, 0.5"),
)
SINGLE = (
    Variant(VANILLA),
    Variant("freeu", "freeu"),
    Variant("skip-tuning", "skip-tuning"),
    Variant("faster-diffusion", "faster-diffusion"),
    Variant("inherit, every 2", "inherit", {"inherit": {"interval": 2}}),
    Variant("at-edm, 0.5 within", "at-edm"),
    Variant("tomesd, 0.5", "tomesd"),
    Variant("tgate", "tgate"),
)
BASE = (
    *SINGLE,
    Variant("faster-diffusion, together", "faster-diffusion", {"faster-diffusion": {"together": 50}}),
    Variant("inherit, every 3", "inherit", {"inherit": {"interval": 3}}),
    Variant("deis", "deis"),
    Variant("tgate + inherit, every 3", "tgate+inherit", {"inherit": {"interval": 3}}),
    *PACKAGES,
)
STEPS = {"toy": (10, 20), "toy-turbo": (1, 2, 4)}
FEWER = {"toy": (5, 7, 14)}  # vanilla only, at about the cost of the methods with more steps


def installed(variant: Variant) -> bool:
    """Whether a variant's package is installed."""
    from importlib.util import find_spec

    needed = {"DeepCache package, every 3": "DeepCache", "tomesd package, 0.5": "tomesd"}.get(variant.label)
    return needed is None or find_spec(needed) is not None


def variants(model: str, steps: int) -> tuple[Variant, ...]:
    """The variants drawn with a model at a number of steps; vanilla is the first."""
    if steps in FEWER.get(model, ()):
        return (SINGLE[0],)
    return tuple(variant for variant in (SINGLE if "turbo" in model else BASE) if installed(variant))
