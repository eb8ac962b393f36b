CREATE TABLE batch (id bigint);
TRUNCATE batch;
