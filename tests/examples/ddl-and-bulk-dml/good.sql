ALTER TABLE users ADD COLUMN adult boolean;
UPDATE users SET adult = true WHERE id = 1;
