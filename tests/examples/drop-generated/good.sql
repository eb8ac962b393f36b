-- rung: allow drop-column because "moved to another table"
ALTER TABLE lines DROP COLUMN double, DROP COLUMN id;
