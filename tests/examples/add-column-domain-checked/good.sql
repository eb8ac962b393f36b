ALTER TABLE users ADD COLUMN progress integer;
ALTER TABLE users ADD CONSTRAINT progress_high CHECK (progress <= 100) NOT VALID;
