-- What was done to the service itself: rows are only ever added, each sealed and chained to the one before.

CREATE TABLE home.audit (
    id bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    who text NOT NULL,
    address text NOT NULL,
    deed text NOT NULL,
    environment text NOT NULL,
    subject text NOT NULL,
    outcome text NOT NULL,
    detail text NOT NULL,
    chain_version integer NOT NULL,
    previous_hash text NOT NULL CONSTRAINT audit_previous_hash_key UNIQUE,
    own_hash text NOT NULL
);
COMMENT ON COLUMN home.audit.id IS '1, 2, 3 and so on without gaps, in the order of the commits';
COMMENT ON COLUMN home.audit.who IS 'an account, a token''s name, a user of this machine, or nobody';
COMMENT ON COLUMN home.audit.address IS 'of the client; empty for the command line';
COMMENT ON COLUMN home.audit.own_hash IS 'SHA-256, hex, over all the columns before';

CREATE FUNCTION home.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  RAISE EXCEPTION 'home.audit is append-only: % is not allowed', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON home.audit
    FOR EACH STATEMENT EXECUTE FUNCTION home.refuse_change();
ALTER TABLE home.audit ENABLE ALWAYS TRIGGER audit_append_only;
REVOKE UPDATE, DELETE, TRUNCATE ON home.audit FROM CURRENT_USER;
