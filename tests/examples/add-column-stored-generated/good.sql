ALTER TABLE users ADD COLUMN lower_email text;
