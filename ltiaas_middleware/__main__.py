"""``python -m ltiaas_middleware``: see ``commands.main``."""

from .commands.main import main

if __name__ == "__main__":
    raise SystemExit(main())
