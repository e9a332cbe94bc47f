"""Fitted states that earlier versions pickled, as this version has them."""

import numpy as np

from nnfast.network import Parameters


def upgrade(fitted):
    """Change a state, a dict of attributes, in place."""
    if "history_" in fitted:  # version 0.1.0: arrays
        history = fitted.pop("history_")
        fitted["_history"] = {name: np.asarray(values, float).tolist() for name, values in history.items()}
    _name_last_parameters(fitted)
    _name_moments(fitted)


def _name_last_parameters(fitted):
    """Version 0.1 kept lists by kind: "coefs", "intercepts" and so on."""
    kept = fitted.get("_last_parameters")
    if isinstance(kept, dict) and all(map(_are_lists_by_kind, kept.values())):
        fitted["_last_parameters"] = {key: dict(Parameters.of_lists(**lists)) for key, lists in kept.items()}


def _are_lists_by_kind(kept):
    return (
        isinstance(kept, dict) and "coefs" in kept and all(isinstance(each, list) for each in kept.values())
    )


def _name_moments(fitted):
    """Version 0.1 kept lists in the order of the parameters that are learned."""
    optimizer = fitted.get("_optimizer")
    moments = optimizer.get("moments") if isinstance(optimizer, dict) else None
    if isinstance(moments, list) and all(isinstance(arrays, list) for arrays in moments):
        names = list(Parameters.of_attributes(fitted).only_learned())
        if any(len(arrays) != len(names) for arrays in moments):
            return  # none that a version has left, as nnfast.history will say
        named = [dict(zip(names, arrays, strict=True)) for arrays in moments]
        fitted["_optimizer"] = optimizer | {"moments": named}
