"""Rounding that lets each weight make up for the rounding of those before it."""

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.quantize.moments import Moments

_DAMPING = 0.01
"""Added to the covariance's diagonal, as a part of its mean (Frantar et al. 2022, section 3.3)."""
_TRIES = 4
"""Each with ten times the damping of the one before, for covariances that rounding has spoilt."""
_BLOCK = 64
_WEIGHTS_AT_ONCE = 1 << 18
"""So many are float64 at one time, twice; outputs do not depend on each other."""


def round_jointly(weights: Array, scales: Array, covariance: Array, largest: int) -> Array:
    """Integers for ``weights`` [B, O, K] on the grids ``scales`` [B, O] (or [B, O, K]) that keep the outputs near.

    Each of the K weights of an output is rounded in turn, the most important first, and the ones that follow move
    to cancel its error under the inputs' ``covariance`` [B, K, K] (Frantar et al. 2022, "GPTQ", arXiv:2210.17323,
    algorithm 1). The covariance, not the second moment: what is left of the mean goes into the bias. Returns int8
    [B, O, K] within plus and minus ``largest``.
    """
    order = np.argsort(-np.diagonal(covariance, axis1=1, axis2=2), axis=1, kind="stable")
    factor = _inverse_factor(covariance, order)
    grids = np.broadcast_to(scales if scales.ndim == 3 else scales[:, :, None], weights.shape)
    result = np.empty(weights.shape, np.int8)
    at_once = max(1, _WEIGHTS_AT_ONCE // weights.shape[2])
    for start in range(0, weights.shape[1], at_once):
        part = slice(start, start + at_once)
        ordered = [
            np.take_along_axis(np.asarray(array[:, part], np.float64), order[:, None, :], axis=2)
            for array in (weights, grids)
        ]
        integers = _rounded_in_turn(ordered[0], ordered[1], factor, largest)
        back = np.argsort(order, axis=1)[:, None, :]
        result[:, part] = np.take_along_axis(integers, back, axis=2)
    return result


def _rounded_in_turn(weights: Array, grids: Array, factor: Array, largest: int) -> Array:
    """Int8 for ``weights`` [B, O, K], which are used up, on ``grids`` of the same shape."""
    size = weights.shape[2]
    integers = np.empty(weights.shape, np.int8)
    for start in range(0, size, _BLOCK):
        end = min(start + _BLOCK, size)
        errors = np.zeros((*weights.shape[:2], end - start))
        for k in range(start, end):
            steps = np.clip(np.rint(weights[:, :, k] / grids[:, :, k]), -largest, largest)
            integers[:, :, k] = steps
            error = (weights[:, :, k] - steps * grids[:, :, k]) / factor[:, k, k][:, None]
            weights[:, :, k + 1 : end] -= error[:, :, None] * factor[:, None, k, k + 1 : end]
            errors[:, :, k - start] = error
        weights[:, :, end:] -= errors @ factor[:, start:end, end:]
    return integers


def round_in_blocks(weights: Array, scales: Array, moments: Moments, largest: int) -> Array:
    """`round_jointly` within each block of the moments: what one block rounds the others do not make up for."""
    integers = np.empty(weights.shape, np.int8)
    for places, covariance in moments.parts():
        grids = scales[:, :, places] if scales.ndim == 3 else scales
        integers[:, :, places] = round_jointly(weights[:, :, places], grids, covariance, largest)
    return integers


def _inverse_factor(covariance: Array, order: Array) -> Array:
    """Upper triangular U with U^T U the inverse of the damped covariance, its axes in ``order``."""
    ordered = np.take_along_axis(np.asarray(covariance, np.float64), order[:, :, None], axis=1)
    ordered = np.take_along_axis(ordered, order[:, None, :], axis=2)
    # Damped in place: of a wide layer each further matrix takes 170 MB, and layers are rounded side by side.
    places = np.arange(ordered.shape[1])
    plain = ordered[:, places, places]
    diagonal = plain.mean(axis=1)
    for damping in _DAMPING * 10.0 ** np.arange(_TRIES):
        added = damping * np.abs(diagonal) + np.finfo(np.float32).tiny
        try:
            ordered[:, places, places] = plain + added[:, None]
            inverse = np.linalg.inv(ordered)
            return np.asarray(np.linalg.cholesky(inverse).transpose(0, 2, 1))
        except np.linalg.LinAlgError:
            continue  # the mean was so much larger than the variance that float32 left no covariance
    return np.broadcast_to(np.eye(ordered.shape[1]), ordered.shape)
