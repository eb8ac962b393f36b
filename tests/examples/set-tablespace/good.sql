CREATE TABLE buckets (id integer);
