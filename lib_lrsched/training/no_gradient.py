"""Updates without a gradient: when to say that nothing is learned, and why that may be. Floats in, texts out."""

from __future__ import annotations

from collections.abc import Iterable

SEVERAL = 5
"""After this many updates in a row without a gradient it is said."""

NOTHING = 1e-9
"""A clip threshold below this leaves nothing: Adam divides by what is left plus 1e-8."""

_ATTENTION = 'the attention in use does not propagate gradients (switch off "Use cross attention optimizations while training")'
WHY = {
    "embedding": f"no prompt names it (look at the prompts, and at [name] in the prompt template), or {_ATTENTION}",
    "hypernetwork": f"{_ATTENTION}, or none of its modules is one of the loaded model's",
}


class ZeroGradients:
    """Of one training: how many updates it has made, and whether any had a gradient."""

    def __init__(self) -> None:
        self._updates = self._in_a_row = 0
        self._patience = SEVERAL
        self.has_moved = False

    def look(self, norm: float) -> bool:
        """Takes the gradient norm of an update; whether it is time to say that several in a row had none. NaN counts as one.

        It is said once of each such stretch; after each the next has to be twice as long, for a run whose prompts name an
        embedding only now and then is none that has stopped learning.
        """
        self._updates += 1
        if norm != 0.0:
            self.has_moved = True
            if self._in_a_row >= self._patience:
                self._patience *= 2
            self._in_a_row = 0
            return False
        self._in_a_row += 1
        return self._in_a_row == self._patience

    def warning(self, why: str) -> str:
        """What to say when it is time."""
        if not self.has_moved:
            return f"nothing has been learned so far: no update had a gradient. {why}"
        return f"nothing is learned any more: the last {self._in_a_row} updates had no gradient. {why}"

    def message(self, why: str) -> str:
        """What to say at the end; empty where anything was learned, or nothing tried."""
        if self.has_moved or not self._updates:
            return ""
        return f"nothing was learned: none of {self._updates} updates had a gradient. {why}"


def why_not(kind: str, name: str, names: Iterable[str]) -> str:
    """Why the gradient may be 0.

    Args:
        names: of all embeddings that prompts may name, if it is one of them.
    """
    same_words = same_words_as(name, names)
    if same_words:
        return shared_words(name, same_words)
    return f"Either {WHY[kind]}"


def why_cut(threshold: float) -> str:
    """Of a clip threshold below NOTHING."""
    return f"The gradient clip threshold is {threshold:g}, which leaves nothing: raise it, or switch gradient clipping off."


def same_words_as(name: str, names: Iterable[str]) -> list[str]:
    """Other names that are the same to the text encoder, which knows no capitals."""
    return sorted(other for other in names if other != name and other.lower() == name.lower())


def shared_words(name: str, same_words: list[str]) -> str:
    others = ", ".join(map(repr, same_words))
    return (f"Besides {name!r} there is also {others}: prompts ignore capitals, so only one of them is used and the other learns "
            "nothing. Rename one, and refresh the list")
