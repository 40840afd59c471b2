"""Rates as people read and write them, and which of them are the same."""

from __future__ import annotations

RELATIVE = 1e-9
"""Rates that differ by less are the same."""


def rate_text(rate: float, digits: int = 3) -> str:
    """A rate's first digits, without needless zeros.

    >>> rate_text(0.0050012), rate_text(1e-05), rate_text(0.0), rate_text(1e6)
    ('0.005', '1e-5', '0', '1e6')
    """
    mantissa, e, exponent = f"{rate:.{digits}g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa
