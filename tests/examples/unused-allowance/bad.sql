-- rung: allow drop-table because "nobody reads it any more"
ALTER TABLE users RENAME TO people;
