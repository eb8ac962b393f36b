"""Rung's own database: its schema as numbered files, and its queries."""
