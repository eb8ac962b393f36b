ALTER TABLE users ADD COLUMN locale text;
UPDATE users SET locale = 'en';
UPDATE users SET role = 'member' WHERE role IS NULL;
