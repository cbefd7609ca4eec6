"""How a picture is judged: here, how far it is from the vanilla one."""

from .identity import Distance, difference_map, distance

__all__ = ["Distance", "difference_map", "distance"]
