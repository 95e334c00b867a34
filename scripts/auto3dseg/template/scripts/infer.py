"""Class probabilities of this algorithm, for the ensemble."""

from semcl.auto3dseg import InferClass

__all__ = ["InferClass"]
