ALTER TABLE orders ADD CONSTRAINT orders_number_key UNIQUE USING INDEX orders_number;
