ALTER TABLE orders ALTER COLUMN total TYPE numeric(8, 2);
