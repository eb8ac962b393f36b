ALTER TABLE users ADD CONSTRAINT users_age_not_null NOT NULL age;
