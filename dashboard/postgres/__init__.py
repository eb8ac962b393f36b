"""First floor: everything that talks to a PostgreSQL server, and all our SQL."""
