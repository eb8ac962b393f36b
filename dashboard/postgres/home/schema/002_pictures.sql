-- The last known picture of every environment, so that a page never waits for one.

CREATE TABLE home.picture (
    environment text PRIMARY KEY,
    asked_at timestamptz,
    answered_at timestamptz,
    version bigint NOT NULL DEFAULT 0,
    picture json,
    not_reachable_since timestamptz,
    reason text,
    advice text
);
COMMENT ON COLUMN home.picture.asked_at IS 'when somebody last began to ask; whoever sets it asks, the others wait for the answer';
COMMENT ON COLUMN home.picture.answered_at IS 'asked_at of the answer that is stored: an older one that comes late is dropped';
COMMENT ON COLUMN home.picture.version IS 'goes up with every picture, so that readers know what they have';
COMMENT ON COLUMN home.picture.not_reachable_since IS 'the first failure after the picture; null: it answered';
