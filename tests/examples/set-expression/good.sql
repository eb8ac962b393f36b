ALTER TABLE lines ADD COLUMN triple integer;
