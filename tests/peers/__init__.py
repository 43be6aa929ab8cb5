"""Other projects' test suites, with every app that they ask wrapped in the middleware.

``make peers`` installs the newest Starlette, Flask and Falcon from their source distributions, in
environments of their own under ``.peers/``, and runs each suite four times: as it is; wrapped, with
no token, where nothing may differ; on a launch path; and, to compare that with, under the same
prefix without the middleware. Not part of ``make test``: what a new release of theirs changes is no
fault of ours, and is looked at by a person.
"""
