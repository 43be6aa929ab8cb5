"""An OAuth provider for allauth: the school's own Git server, which has GitHub's API."""
