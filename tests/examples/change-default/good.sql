ALTER TABLE orders ADD COLUMN remark text;
ALTER TABLE orders ALTER COLUMN remark SET DEFAULT 'none';
