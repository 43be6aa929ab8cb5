"""Decides what becomes of a request. No I/O.

``Gate.decide`` is a generator if something has to be waited for: it yields that, and the adapters
send the result back, as httpx's ``auth_flow`` does. docs/reference/requests.md,
"The rules", states the rules; ``tests/gate/oracle.py`` is written from it.
One module, one question:

- ``gate``: which rule applies. ``decisions``: what it may decide.
- ``request``: what a request says. ``paths``: which paths ``require`` and ``exclude`` cover.
- ``ltiks``, ``launch_cookie``, ``authentication``: what it authenticates with.
- ``cross_origin``: whose page sent it. ``outside``: which launch's page it left.
- ``launch_path``, ``serving``, ``redirects``: where a launch is, and where the browser goes.
- ``cookies``, ``frame``, ``insertion``: how the app's responses stay with their launch
  (``adapter_text``: their headers as an adapter has them).
- ``callbacks``: how a sign-in elsewhere comes back into its launch.
- ``launch_script``, ``pages``: what the middleware answers itself. ``once``: what it logs once.
"""
