CREATE TEMP TABLE seen (id bigint);
TRUNCATE seen;
