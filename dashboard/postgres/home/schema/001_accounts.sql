-- People, how they come in, and what they may do. Passwords are argon2id hashes; of tokens only SHA-256 is kept.

CREATE TABLE home.account (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email text NOT NULL UNIQUE,
    password_hash text,
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz
);
COMMENT ON COLUMN home.account.email IS 'lower case';
COMMENT ON COLUMN home.account.password_hash IS 'argon2id with its parameters; null: only one-time links open the account';

CREATE TABLE home.role (
    account_id uuid NOT NULL REFERENCES home.account ON DELETE CASCADE,
    environment text NOT NULL,
    role text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    granted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, environment)
);
COMMENT ON COLUMN home.role.environment IS 'its name; * stands for all that have no row of their own';

CREATE TABLE home.session (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    account_id uuid NOT NULL REFERENCES home.account ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
CREATE INDEX session_account_idx ON home.session (account_id);
COMMENT ON COLUMN home.session.ended_at IS 'signed out, or thrown out';

CREATE TABLE home.link (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    account_id uuid NOT NULL REFERENCES home.account ON DELETE CASCADE,
    purpose text NOT NULL CHECK (purpose IN ('sign_in', 'invite', 'reset')),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX link_account_idx ON home.link (account_id);
COMMENT ON TABLE home.link IS 'One-time links';

CREATE TABLE home.sign_in_failure (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    who bytea NOT NULL,
    address text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sign_in_failure_idx ON home.sign_in_failure (who, at);
COMMENT ON COLUMN home.sign_in_failure.who IS 'SHA-256 of what was typed as the e-mail address: people type passwords there';
