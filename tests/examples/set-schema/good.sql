CREATE SCHEMA attic;
CREATE TABLE relics (id integer);
ALTER TABLE relics SET SCHEMA attic;
