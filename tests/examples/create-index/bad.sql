CREATE INDEX users_email ON users (lower(email));
