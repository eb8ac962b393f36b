DROP FUNCTION price_of(integer);
