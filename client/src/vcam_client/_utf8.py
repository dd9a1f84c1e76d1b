"""Texts that are sent to a server, which must be UTF-8."""

from vcam_client.errors import InputError


def require_utf8(text: str, what: str) -> None:
    """Refuses a text that can't be sent, such as an argument whose bytes are not UTF-8.

    Args:
        text: Python keeps bytes that it can't decode as lone surrogates.
        what: what the text is, for the message.

    Raises:
        InputError: it has such characters.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"Expected {what} in UTF-8, received {text!r}. Type it again, or correct the script "
            "or variable that it comes from."
        ) from error
