SELECT id FROM orders WHERE user_id = 7 FOR UPDATE;
