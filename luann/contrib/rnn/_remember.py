"""``remember``: what Sequencer and the layers for whole sequences have in common."""

from __future__ import annotations

from typing import Any

from ...errors import ArgumentError
from ...nn._object import given

_MODES = ("both", "eval", "train", "neither")


class Remembering:
    """A module that can go on with the next sequence where the last one ended."""

    __slots__ = ()

    _remember = "neither"
    train: bool

    def remember(self, remember: str | None = None) -> Any:
        """Say when a sequence goes on from the state in which the last one ended; returns the module.

        No gradient flows back into the sequence before. ``forget()`` begins anew, and so do ``training()`` and
        ``evaluate()`` when they change the mode.

        Args:
            remember: ``'train'``, ``'eval'`` (each in one of the two modes), ``'neither'``, or ``'both'``, the default.

        Raises:
            ArgumentError: it is something else.
        """
        mode = given(remember, "both")
        if mode not in _MODES:
            name = getattr(self, "_typename", type(self).__name__)
            raise ArgumentError(f"{name}: remember() takes one of {', '.join(_MODES)}, got {mode!r}")
        self._remember = mode  # type: ignore[misc]
        return self

    def _remembers(self) -> bool:
        """Whether the next sequence goes on where the last one ended, in the mode of now."""
        return self._remember in ("both", "train" if self.train is not False else "eval")
