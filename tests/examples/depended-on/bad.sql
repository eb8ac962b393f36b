-- view adults reads it
ALTER TABLE users ALTER COLUMN age TYPE bigint;
