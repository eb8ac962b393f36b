-- the old table, in two schemas
DROP TABLE IF EXISTS legacy_users;
