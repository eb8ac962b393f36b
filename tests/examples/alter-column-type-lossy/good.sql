ALTER TABLE orders
    ALTER COLUMN id TYPE bigint,
    ALTER COLUMN note TYPE text,
    ALTER COLUMN code TYPE varchar(40),
    ALTER COLUMN placed_at TYPE timestamptz USING placed_at AT TIME ZONE 'UTC',
    ALTER COLUMN token TYPE uuid USING token::uuid;
