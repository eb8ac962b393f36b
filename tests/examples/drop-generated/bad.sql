-- column double is computed from it
-- rung: allow drop-column because "moved to another table"
ALTER TABLE lines DROP COLUMN id;
