CREATE TABLE import_buffer (id bigint);
INSERT INTO import_buffer VALUES (1);
DROP TABLE import_buffer;
ALTER TABLE legacy_users RENAME TO legacy_users_trash;
