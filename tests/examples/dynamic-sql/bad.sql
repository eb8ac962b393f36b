DO $$
DECLARE
    t text;
BEGIN
    FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'old' LOOP
        EXECUTE format('ALTER TABLE old.%I OWNER TO app', t);
    END LOOP;
END
$$;
