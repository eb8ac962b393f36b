DROP FUNCTION price_of(int);
DROP VIEW prices;
ALTER TABLE orders DROP CONSTRAINT orders_total_check;
