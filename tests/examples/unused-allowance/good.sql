-- rung: allow drop-table because "nobody reads it any more"
DROP TABLE users;
