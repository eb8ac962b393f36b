DROP VIEW adults;
ALTER TABLE users ALTER COLUMN age TYPE bigint;
CREATE VIEW adults AS SELECT id, name FROM users WHERE age > 17;
