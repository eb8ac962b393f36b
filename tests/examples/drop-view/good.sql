CREATE VIEW children AS SELECT id FROM users WHERE age < 18;
DROP VIEW children;
