CREATE TABLE archive (id integer);
ALTER TABLE archive SET ACCESS METHOD columnar;
