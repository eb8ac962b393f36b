DROP FOREIGN TABLE remote_orders;
