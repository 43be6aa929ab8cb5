"""A small tool to look at, and the sandbox that launches it: ``python -m ltiaas_middleware demo``.

``tool`` is the tool, ``pages`` how it looks; ``run`` serves tool and sandbox, ``check`` launches
the one from the other without a browser.
"""
