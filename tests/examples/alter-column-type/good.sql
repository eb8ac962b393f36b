ALTER TABLE users ADD COLUMN id_wide bigint;
