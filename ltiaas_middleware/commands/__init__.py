"""The commands of ``python -m ltiaas_middleware``."""
