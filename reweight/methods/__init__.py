"""Training-free methods, one file each; every one of them is registered here or by an entry point "reweight.methods"."""

from .base import METHODS, Drawing, Method, Report
from .freeu import FreeUMethod
from .reweighting import ReweightingMethod
from .vanilla import Vanilla

METHODS.register(Vanilla())
METHODS.register(ReweightingMethod())
METHODS.register(FreeUMethod())

__all__ = ["METHODS", "Drawing", "Method", "Report"]
