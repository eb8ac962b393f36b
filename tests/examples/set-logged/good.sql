CREATE UNLOGGED TABLE sketches (id integer);
ALTER TABLE sketches SET LOGGED;
