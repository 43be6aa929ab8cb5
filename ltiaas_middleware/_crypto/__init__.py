"""Keys, sealing and handoffs: all that is made from ``Settings.secret``."""
