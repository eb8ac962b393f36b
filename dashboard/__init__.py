"""Rung: every environment's PostgreSQL database on the same rung of one ladder of SQL files."""

__version__ = "0.1.0"
