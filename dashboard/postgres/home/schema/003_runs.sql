-- Runs asked for in the browser, and what they report. The queue itself is procrastinate's tables.

CREATE TABLE home.run (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    environment text NOT NULL,
    asked_for json NOT NULL,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'ended')),
    outcome text,
    requested_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    heard_at timestamptz,
    ended_at timestamptz,
    attempt integer NOT NULL DEFAULT 0,
    planned json,
    stop_asked_by text,
    result json,
    job_id bigint,
    CONSTRAINT run_outcome_check CHECK ((state = 'ended') = (outcome IS NOT NULL AND ended_at IS NOT NULL))
);
CREATE UNIQUE INDEX run_open_key ON home.run (environment) WHERE state <> 'ended';
CREATE INDEX run_requested_idx ON home.run (requested_at DESC);
CREATE INDEX run_environment_idx ON home.run (environment, requested_at DESC);
COMMENT ON INDEX home.run_open_key IS 'Fifty clicks make one run';
COMMENT ON COLUMN home.run.asked_for IS 'the order: actor, force and reason, digest of the plan that was shown';
COMMENT ON COLUMN home.run.heard_at IS 'last sign of life of the worker that executes it';
COMMENT ON COLUMN home.run.attempt IS '1 for the first worker, more when others took the run up again';
COMMENT ON COLUMN home.run.planned IS 'file name -> raw hash of what the first attempt set out to run; a later one runs no other file';

CREATE TABLE home.run_event (
    run_id uuid NOT NULL REFERENCES home.run ON DELETE CASCADE,
    sequence integer NOT NULL,
    at timestamptz NOT NULL,
    attempt integer NOT NULL,
    number integer NOT NULL,
    event json NOT NULL,
    PRIMARY KEY (run_id, sequence),
    CONSTRAINT run_event_number_key UNIQUE (run_id, attempt, number)
);
COMMENT ON COLUMN home.run_event.sequence IS '1, 2, 3 … without gaps in each run, in the order of the commits';
COMMENT ON COLUMN home.run_event.number IS 'the writer''s own number in this attempt, so that writing it twice adds it once';
