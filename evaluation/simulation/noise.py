"""The laws of the noise: each has a mean of zero and a standard deviation of one."""

from dataclasses import dataclass
from math import gamma, pi, sqrt

import numpy as np

from evaluation.simulation.settings import WorldSettings
from evaluation.simulation.truth import FloatArray

LARGEST = 8.0  # spreads: what lies beyond is moved to it


@dataclass(frozen=True, slots=True)
class NoiseLaw:
    kind: str
    shape: float

    @classmethod
    def of(cls, world: WorldSettings) -> "NoiseLaw":
        return cls(world.noise, world.noise_shape)

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
        if self.kind == "normal":
            return rng.normal(size=shape)
        if self.kind == "heavy":
            return np.clip(rng.standard_t(self.shape, shape) / self._scale, -LARGEST, LARGEST)
        return np.maximum((self.shape - rng.gamma(self.shape, size=shape)) / sqrt(self.shape), -LARGEST)

    def density(self, distance: FloatArray) -> FloatArray:
        if self.kind == "normal":
            return np.asarray(np.exp(-(distance**2) / 2) / sqrt(2 * pi))
        if self.kind == "heavy":
            dof, t = self.shape, distance * self._scale
            constant = gamma((dof + 1) / 2) / (sqrt(dof * pi) * gamma(dof / 2))
            return np.asarray(self._scale * constant * (1 + t**2 / dof) ** (-(dof + 1) / 2))
        x = np.maximum(self.shape - distance * sqrt(self.shape), 0)
        return np.asarray(sqrt(self.shape) * x ** (self.shape - 1) * np.exp(-x) / gamma(self.shape))

    @property
    def _scale(self) -> float:
        """The standard deviation of Student's t."""
        return sqrt(self.shape / (self.shape - 2))


def sample_moods(law: NoiseLaw, autocorrelation: float, shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """The mood at each appointment, in spreads: each is correlated with the one before."""
    moods = law.sample(shape, rng)
    for t in range(1, shape[1]):
        moods[:, t] = autocorrelation * moods[:, t - 1] + np.sqrt(1 - autocorrelation**2) * moods[:, t]
    return moods
