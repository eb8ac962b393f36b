-- What the last check of every environment's chain of hashes found.

CREATE TABLE home.chain_check (
    environment text PRIMARY KEY,
    asked_at timestamptz NOT NULL,
    trouble text,
    checked_at timestamptz,
    asked_by text,
    ok boolean,
    rows bigint,
    first_bad_id bigint,
    what text,
    head text,
    copied bigint,
    copy_bad_id bigint,
    gone bigint,
    CONSTRAINT chain_check_whole_check CHECK (num_nulls(checked_at, asked_by, ok, rows, what, copied, gone) IN (0, 7))
);
COMMENT ON COLUMN home.chain_check.asked_at IS 'when somebody last began; whoever sets it checks, others who come right after do not';
COMMENT ON COLUMN home.chain_check.trouble IS 'why the last try could not check; what an earlier one found stays';
COMMENT ON COLUMN home.chain_check.copied IS 'rows in home''s copy that the environment still holds';
COMMENT ON COLUMN home.chain_check.copy_bad_id IS 'the first row of the copy that does not follow the one before';
COMMENT ON COLUMN home.chain_check.gone IS 'rows in home''s copy that the environment does not hold any more';
