-- A database that answers and cannot be used is not one that is away.

ALTER TABLE home.picture ADD COLUMN answered boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN home.picture.answered IS 'of a failure: the database did answer, and what it said cannot be used';
