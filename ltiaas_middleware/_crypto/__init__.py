"""Keys, encryption and one-time tokens: everything that is derived from ``Settings.secrets``."""
