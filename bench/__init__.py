"""How fast Rung is, beside a floor that does the same work: `python -m bench`, `make bench`."""
