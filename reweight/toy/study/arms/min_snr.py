"""Min-SNR weights (Hang et al. 2023): no timestep counts for more than its signal-to-noise ratio, nor than GAMMA."""

from __future__ import annotations

import torch

from .plain import Plain

GAMMA = 5.0


class MinSnr(Plain):
    key, title, paper = "min-snr", "min-SNR weights", "Hang et al. 2023"

    def weights(self, t: torch.Tensor) -> torch.Tensor:
        """min(SNR, GAMMA) / (SNR + 1) for v-prediction; 0 at the last timestep, where there is no signal."""
        one, zero = torch.ones(len(t), 1, 1, 1, device=t.device), torch.zeros(len(t), 1, 1, 1, device=t.device)
        signal = self.way.noised(one, zero, t).flatten().square()  # alpha_t^2; noise is 1 - alpha_t^2
        return torch.minimum(signal, GAMMA * (1 - signal))  # both sides of min(SNR, GAMMA) / (SNR + 1), times SNR + 1
