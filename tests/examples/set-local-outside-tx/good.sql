SET maintenance_work_mem = '1GB';
CREATE INDEX CONCURRENTLY orders_user ON orders (user_id);
