"""Datasette, which routes on the path as it arrived and writes absolute links into its pages."""

from __future__ import annotations

import os

from datasette.app import Datasette

from ltiaas_middleware.asgi import LTIAASMiddleware

# Datasette routes on what follows the mount point.
app = LTIAASMiddleware(Datasette([os.environ["NOTES_DATABASE"]]).app())
