ALTER TABLE users ADD COLUMN adult boolean;
UPDATE users SET adult = age > 17 WHERE adult IS NULL;
