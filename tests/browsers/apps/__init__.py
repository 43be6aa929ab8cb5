"""Apps made as their frameworks' own tutorials make them, each wrapped as README says.

Nothing in them knows of frames, launch paths or partitioned cookies. Each has a page of notes that
are kept in the session, and a form that adds one.
"""
