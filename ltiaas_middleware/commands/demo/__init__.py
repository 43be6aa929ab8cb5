"""The demo tool, the sandbox that launches it, and ``demo --check``."""
