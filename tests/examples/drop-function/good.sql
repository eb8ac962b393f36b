CREATE FUNCTION price_of(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT $1';
