"""Training-free methods, one file each, registered here or by an entry point of the group "reweight.methods"."""

from .attention_pruning import AtEdmMethod
from .base import METHODS, Drawing, Method, Report
from .deis import DeisMethod
from .encoder_propagation import FasterDiffusionMethod
from .feature_inheritance import InheritanceMethod
from .freeu import FreeUMethod
from .gating import TGateMethod
from .reweighting import ReweightingMethod
from .skip_tuning import SkipTuningMethod
from .token_merging import TokenMergingMethod
from .vanilla import Vanilla

METHODS.register(Vanilla())
METHODS.register(ReweightingMethod())
METHODS.register(FreeUMethod())
METHODS.register(SkipTuningMethod())
METHODS.register(FasterDiffusionMethod())
METHODS.register(InheritanceMethod())
METHODS.register(AtEdmMethod())
METHODS.register(TokenMergingMethod())
METHODS.register(TGateMethod())
METHODS.register(DeisMethod())

__all__ = ["METHODS", "Drawing", "Method", "Report"]
