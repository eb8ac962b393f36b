CREATE SCHEMA staging_area;
DROP SCHEMA staging_area CASCADE;
