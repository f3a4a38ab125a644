"""Words that are no plain text, as a shell reads them: what an error and a report tell a person to type."""

from __future__ import annotations


def escaped(word: str) -> str:
    """A word in ANSI-C quotes, which bash, zsh and POSIX shells since 2024 read."""
    try:
        raw = word.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a half of a character, as JSON may hold one; nobody can type it
        raw = word.encode("utf-8", "replace")
    # Octal, as it has three digits at most, whatever follows.
    return "$'" + "".join(chr(b) if 32 <= b < 127 and b not in b"'\\" else f"\\{b:03o}" for b in raw) + "'"
