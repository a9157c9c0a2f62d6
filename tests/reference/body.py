"""Layers above the cell: dense -> LayerNorm without affine -> leaky relu, repeated; then linear heads.

Source: Elsayed et al. 2024, arXiv 2410.14606; math.md, section 4, 'Body'. Weights are (out, in).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LAYER_NORM_EPS = 1e-5
LEAK = 0.01


def layer_norm(a: Array) -> Array:
    """(a - mean) / sqrt(population variance + eps); no abs(), so that a complex step passes through."""
    centred = a - a.mean()
    return centred / np.sqrt((centred * centred).mean() + LAYER_NORM_EPS)


def layer_norm_backward(a: Array, d_out: Array) -> Array:
    centred = a - a.mean()
    inv = 1 / np.sqrt((centred**2).mean() + LAYER_NORM_EPS)
    unit = centred * inv
    result: Array = inv * (d_out - d_out.mean() - unit * (d_out * unit).mean())
    return result


def leaky_relu(v: Array) -> Array:
    return np.where(v.real > 0, v, LEAK * v)


class Body:
    """The stack of layers; keeps the activations of the last forward pass for `backward`."""

    def __init__(self, weights: list[tuple[Array, Array]]) -> None:
        self.weights = weights
        self.inputs: list[Array] = []
        self.pre: list[Array] = []

    def forward(self, y: Array) -> Array:
        self.inputs, self.pre = [], []
        for weight, bias in self.weights:
            self.inputs.append(y)
            self.pre.append(weight @ y + bias)
            y = leaky_relu(layer_norm(self.pre[-1]))
        return y

    def backward(self, d_out: Array) -> tuple[list[tuple[Array, Array]], Array]:
        """Gradients (weight, bias) per layer and the cotangent of the body's input."""
        grads: list[tuple[Array, Array]] = []
        for (weight, _), x, a in zip(reversed(self.weights), reversed(self.inputs), reversed(self.pre), strict=True):
            d_norm = d_out * np.where(layer_norm(a) > 0, 1.0, LEAK)
            d_pre = layer_norm_backward(a, d_norm)
            grads.append((np.outer(d_pre, x), d_pre))
            d_out = weight.T @ d_pre
        return grads[::-1], d_out
