ALTER TABLE users ADD COLUMN double integer;
