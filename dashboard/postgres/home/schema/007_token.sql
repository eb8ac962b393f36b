-- Tokens of programs that use the API. Of a token only its public id and the SHA-256 of the whole are kept.

CREATE TABLE home.token (
    id text PRIMARY KEY,
    token_hash bytea NOT NULL CONSTRAINT token_hash_key UNIQUE CHECK (length(token_hash) = 32),
    name text NOT NULL,
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0),
    made_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT token_expiry_check CHECK (expires_at <= created_at + interval '366 days')
);
COMMENT ON COLUMN home.token.id IS 'stands in the token itself, so that one that is found somewhere can be named';
COMMENT ON COLUMN home.token.used_at IS 'to the minute';
