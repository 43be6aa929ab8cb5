"""Flashcards: a FastAPI tool. A teacher picks decks for the course (deep linking), students answer
the cards, and the teacher or a TA sends all grades at once. Pages are Jinja templates with a script
that talks to a JSON API."""
