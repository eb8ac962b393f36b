ALTER TABLE orders ADD COLUMN place integer;
