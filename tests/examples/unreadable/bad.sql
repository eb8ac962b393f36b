DO $$
DECLARE
    n "Sales".status;
BEGIN
    n := 1;
END
$$;
