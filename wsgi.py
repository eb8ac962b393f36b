"""gunicorn's entry; nothing but wiring."""
