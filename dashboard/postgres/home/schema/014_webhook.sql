-- Messages to webhooks about runs that ended: each is a job of the queue until it was delivered, or given up.

CREATE TABLE home.delivery (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    webhook text NOT NULL,
    run_id uuid NOT NULL,
    environment text NOT NULL,
    outcome text NOT NULL,
    body text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    standing text NOT NULL DEFAULT 'waiting' CHECK (standing IN ('waiting', 'delivered', 'given up')),
    attempts integer NOT NULL DEFAULT 0,
    tried_at timestamptz,
    trouble text,
    CONSTRAINT delivery_run_key UNIQUE (run_id, webhook)
);
CREATE INDEX delivery_webhook_idx ON home.delivery (webhook, made_at DESC);
CREATE INDEX delivery_made_idx ON home.delivery (made_at DESC);
COMMENT ON COLUMN home.delivery.webhook IS 'the variable that the address comes from; the address itself is not kept';
COMMENT ON COLUMN home.delivery.run_id IS 'in home.run, or only in the history of its environment where a command ran it';
COMMENT ON COLUMN home.delivery.body IS 'what is sent, byte for byte the same at each attempt';
