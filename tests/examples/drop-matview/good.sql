CREATE MATERIALIZED VIEW weekly_sales_new AS SELECT 1 AS n;
ALTER MATERIALIZED VIEW weekly_sales RENAME TO weekly_sales_old;
ALTER MATERIALIZED VIEW weekly_sales_new RENAME TO weekly_sales;
