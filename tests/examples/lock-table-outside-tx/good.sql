LOCK TABLE orders IN ROW EXCLUSIVE MODE;
UPDATE orders SET note = 'x' WHERE id = 1;
