-- Where a session was opened, so that its owner can tell their own from others.

ALTER TABLE home.session
    ADD COLUMN address text NOT NULL DEFAULT '',
    ADD COLUMN agent text NOT NULL DEFAULT '';
COMMENT ON COLUMN home.session.address IS 'of the client; empty: not known';
COMMENT ON COLUMN home.session.agent IS 'what the browser calls itself; its own claim';
