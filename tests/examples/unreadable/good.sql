DO $$
DECLARE
    n sales.status := (SELECT status FROM sales.orders LIMIT 1);
    m CONSTANT sales.region := 1;
BEGIN
    RAISE NOTICE '%', n;
END
$$;
