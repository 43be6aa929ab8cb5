"""Decides how to handle each request. No I/O.

If a decision has to wait for something, ``Gate.decide`` returns a generator. Like httpx's
``auth_flow``, it yields each operation, and the adapters send the result back.
docs/reference/requests.md, "The rules", states the rules; ``tests/gate/oracle.py`` implements them
independently. Each module answers one question:

- ``gate``: which rule applies. ``decisions``: the possible decisions.
- ``request``: what a request contains. ``paths``: which paths ``require`` and ``exclude`` cover.
- ``ltiks``, ``launch_cookie``, ``authentication``: what authenticates a request.
- ``cross_origin``: which page sent it. ``outside``: which launch it left.
- ``launch_path``, ``serving``, ``redirects``: the URLs of a launch, and where the browser goes.
- ``cookies``, ``frame``, ``insertion``: how the app's responses stay in their launch
  (``adapter_text``: headers in each adapter's type).
- ``callbacks``: how an OAuth sign-in returns to its launch.
- ``launch_script``, ``pages``: the middleware's own responses.
"""
