"""The list of rejected words reads prose, and prose alone."""

from __future__ import annotations

from tests.prose import rejected, texts


def test_words_are_found_with_their_line() -> None:
    text = "The proxy's IP address.\n\nThe browser is led on\nto an address of its own."
    assert [(number, word) for number, word, _ in rejected(text)] == [
        (3, "is led"),
        (3, "led on"),
        (4, "address"),
        (4, "of its own"),
    ]


def test_code_comments_and_links_are_not_prose() -> None:
    assert not rejected("`address`, [page](an-address.md)\n```\naddress\n```\n<!-- address -->\n")


def test_messages_and_public_docstrings_are_read() -> None:
    source = '''
def shown():
    """Shown."""
    log.warning("a line: %s", 1)
    raise ValueError(f"no {1}")

def _hidden():
    """Hidden."""
'''
    assert {text for _, text in texts(source, is_public=True)} == {"Shown.", "a line: %s", "no "}
    assert {text for _, text in texts(source, is_public=False)} == {"a line: %s", "no "}
