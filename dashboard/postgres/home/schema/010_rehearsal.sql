-- Rehearsals asked for in the browser: what was seen on a throwaway copy of an environment's schema.

CREATE TABLE home.rehearsal (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    environment text NOT NULL,
    digest text NOT NULL,
    asked_by text NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    ended_at timestamptz,
    doing text,
    attempt integer NOT NULL DEFAULT 0,
    result json,
    trouble json
);
CREATE UNIQUE INDEX rehearsal_open_key ON home.rehearsal (environment) WHERE ended_at IS NULL;
CREATE INDEX rehearsal_environment_idx ON home.rehearsal (environment, asked_at DESC);
COMMENT ON COLUMN home.rehearsal.digest IS 'of the plan that was asked about; another plan is another rehearsal';
COMMENT ON COLUMN home.rehearsal.doing IS 'what the worker is at, as a sentence';
COMMENT ON COLUMN home.rehearsal.trouble IS 'why there is no result: message and advice';
