"""BibTeX for what a picture stands on."""

from __future__ import annotations

from .. import __version__

PAPER = """@article{wang2025dynamic,
  title  = {Dynamic Importance in Diffusion U-Net for Enhanced Image Synthesis},
  author = {Wang, Xi and He, Ziqi and Zhou, Yang},
  year   = {2025},
  note   = {arXiv:2504.03471}
}"""
FREEU = """@article{si2023freeu,
  title  = {FreeU: Free Lunch in Diffusion U-Net},
  author = {Si, Chenyang and Huang, Ziqi and Jiang, Yuming and Liu, Ziwei},
  year   = {2023},
  note   = {arXiv:2309.11497}
}"""
SOFTWARE = f"""@software{{reweight,
  title   = {{reweight: which Transformer block of a diffusion U-Net matters when}},
  author  = {{{{The reweight authors}}}},
  version = {{{__version__}}}
}}"""


def citations(columns: list[str]) -> str:
    """Entries for the columns that are compared."""
    used = {part for column in columns for part in column.split("+")}
    return "\n\n".join([PAPER, *([FREEU] if "freeu" in used else []), SOFTWARE]) + "\n"
