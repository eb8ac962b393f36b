-- A copy of every environment's rung.history, so that one page shows them all, and what a replaced database forgot.

CREATE TABLE home.history (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    environment text NOT NULL,
    gone_since timestamptz,
    id bigint NOT NULL,
    run_id uuid NOT NULL,
    event text NOT NULL,
    called text NOT NULL,
    filename text,
    statement integer,
    raw_hash text,
    normalised_hash text,
    hash_version integer,
    sql text,
    actor_kind text NOT NULL,
    actor text NOT NULL,
    door text NOT NULL,
    host text NOT NULL,
    tool_version text NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    seconds double precision NOT NULL,
    sqlstate text,
    message text,
    detail text,
    hint text,
    line integer,
    "column" integer,
    excerpt text,
    reason text,
    renamed_from text,
    backend_pid integer,
    previous_hash text NOT NULL,
    own_hash text NOT NULL,
    CONSTRAINT history_row_key UNIQUE (environment, id, own_hash)
);
CREATE UNIQUE INDEX history_current_key ON home.history (environment, id) WHERE gone_since IS NULL;
CREATE INDEX history_finished_idx ON home.history (finished_at DESC, place DESC);
CREATE INDEX history_filename_idx ON home.history (filename, finished_at DESC, place DESC);
CREATE INDEX history_run_idx ON home.history (run_id);
COMMENT ON COLUMN home.history.environment IS 'what this configuration calls the database';
COMMENT ON COLUMN home.history.called IS 'what the configuration of the run called it';
COMMENT ON COLUMN home.history.gone_since IS 'since when the environment itself does not hold the row any more';
