"""Keys, encryption and one-time tokens: all that is made from ``Settings.secrets``."""
