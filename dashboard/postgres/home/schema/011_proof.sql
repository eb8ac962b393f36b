-- When somebody proved again who they are, for what is asked of protected environments.

ALTER TABLE home.session ADD COLUMN proved_at timestamptz;
COMMENT ON COLUMN home.session.proved_at IS 'null: only when signing in';
