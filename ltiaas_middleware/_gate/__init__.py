"""What a request carries, and what becomes of it. No I/O."""
