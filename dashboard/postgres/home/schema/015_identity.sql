-- Who signs in elsewhere: an issuer's name for a person opens the account that it was connected with, and no other.

CREATE TABLE home.identity (
    issuer text NOT NULL,
    subject text NOT NULL,
    account_id uuid NOT NULL UNIQUE REFERENCES home.account ON DELETE CASCADE,
    connected_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject)
);
COMMENT ON TABLE home.identity IS 'An account with a row here has no password, and no link opens it';

ALTER TABLE home.session ADD COLUMN by_issuer boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN home.session.by_issuer IS 'an issuer may let people in without asking them: only proved_at says when it asked';
