-- An environment that says the same again is heard, and its picture is neither written nor read again.

ALTER TABLE home.picture ADD COLUMN taken_at timestamptz;
ALTER TABLE home.picture ADD COLUMN said text;
COMMENT ON COLUMN home.picture.version IS 'goes up with every picture that says something else, so that readers know what they have';
COMMENT ON COLUMN home.picture.taken_at IS 'when the database said it last, by its own clock; null: see the picture';
COMMENT ON COLUMN home.picture.said IS 'SHA-256 of the picture without its moment; null: not known';
