"""With the tiny Stable Diffusion that is as deep as the real one."""

from whole import _sd, sd_folder

__all__ = ["_sd", "sd_folder"]
