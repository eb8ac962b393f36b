SELECT filename, applied_at FROM _migrations_applied ORDER BY applied_at;
ALTER TABLE history ADD COLUMN note text;
