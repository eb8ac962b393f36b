ALTER TABLE orders ADD COLUMN place serial;
