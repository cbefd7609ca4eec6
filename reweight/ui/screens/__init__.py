"""The screens of the page, one file each; registered here or by an entry point "reweight.screens"."""

from .ablate import Ablate
from .base import SCREENS, Act, Call, Event, Page, Screen
from .compare import Compare
from .edit import Edit
from .history import History
from .importance import Importance
from .learn import Learn
from .sweep import Sweep
from .watch import Watch

SCREENS.register(Compare())
SCREENS.register(Importance())
SCREENS.register(Ablate())
SCREENS.register(Watch())
SCREENS.register(Sweep())
SCREENS.register(Edit())
SCREENS.register(History())
SCREENS.register(Learn())

__all__ = ["SCREENS", "Act", "Call", "Event", "Page", "Screen"]
