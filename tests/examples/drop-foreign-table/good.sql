DROP VIEW remote_orders;
