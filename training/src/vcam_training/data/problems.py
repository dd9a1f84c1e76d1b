"""Everything that is wrong with some data, in one message."""

from collections.abc import Iterable

from vcam_client.errors import ConfigError

_NAMED = 10
"""Problems that a message names; of the others it says how many there are."""


def refuse(expected: str, problems: Iterable[str], advice: str) -> None:
    """Raises an error where there are problems.

    Args:
        expected: what should have been there, as "readable scans".
        problems: what was found instead, each with the name of the thing at fault.
        advice: what to do next, a sentence.

    Raises:
        ConfigError: there are problems; the first ones are named, and all counted.
    """
    found = list(problems)
    if not found:
        return
    raise ConfigError(f"Expected {expected}, found {listed(found)} {advice}")


def listed(found: list[str]) -> str:
    """One problem in the same sentence, several as a numbered list of lines."""
    if len(found) == 1:
        return f"{found[0].rstrip('.')}."
    lines = [f"\n  {number}. {text}" for number, text in enumerate(found[:_NAMED], start=1)]
    more = f"\n  and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"{len(found)} problems:{''.join(lines)}{more}\n"
