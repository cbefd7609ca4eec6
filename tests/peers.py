"""What the tests of the peer methods share."""

import diffusers
import numpy as np
from nets import draw, traces

from reweight.methods import METHODS, Drawing

FAMILIES = {"sd": "sd15", "sdxl": "sdxl"}
PEERS = ("skip-tuning", "faster-diffusion", "inherit", "at-edm", "tomesd", "tgate", "deis")
_VANILLA = {}
SCHEDULERS = {
    "DDIM": ("DDIMScheduler", {}),
    "Euler": ("EulerDiscreteScheduler", {}),
    "Heun": ("HeunDiscreteScheduler", {}),
    "KDPM2": ("KDPM2DiscreteScheduler", {}),
    "PNDM": ("PNDMScheduler", {"skip_prk_steps": True}),
    "DPM, Karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
}


def settings_of(key, pipe, **changes):
    method = METHODS[key]
    return method.read(changes, method.settings_for(family_of(pipe)))


def family_of(pipe):
    return FAMILIES["sdxl" if "XL" in type(pipe).__name__ else "sd"]


def apply(key, pipe, steps=5, guidance=3.0, samples=1, **changes):
    """A method's context with its preset for the pipeline, some of it changed."""
    drawing = Drawing(steps, guidance, family_of(pipe), samples)
    return METHODS[key].apply(pipe, settings_of(key, pipe, **changes), drawing)


def with_scheduler(pipe, name):
    kind, options = SCHEDULERS[name]
    pipe.scheduler = getattr(diffusers, kind).from_config(pipe.scheduler.config, **options)
    return pipe


def vanilla(pipe, drawing=draw, **options):
    """What the tiny pipeline draws without any method: drawn once, as it is the same for every test that borrows it."""
    key = family_of(pipe), type(pipe), type(pipe.scheduler), drawing, tuple(sorted(options.items()))
    if key not in _VANILLA:
        _VANILLA[key] = drawing(pipe, **options)
    return _VANILLA[key]


def latents(pipe, **kwargs):
    return draw(pipe, **({"steps": 5, "output_type": "latent"} | kwargs))


def state(pipe):
    """Everything that a method could leave behind."""
    scheduler = pipe.scheduler
    return traces(pipe.unet), id(scheduler), sorted(vars(scheduler)), dict(pipe.config), scheduler.config


def far(a, b):
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())
