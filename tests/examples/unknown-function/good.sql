CREATE FUNCTION slug(name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT lower(replace(name, ' ', '-')) $$;
UPDATE teams SET slug = slug(name) WHERE slug IS NULL;
CREATE VIEW v AS SELECT something_else(name) FROM teams;
CREATE TABLE t (id uuid DEFAULT app.new_id(), token text DEFAULT encode(gen_random_bytes(16), 'hex'));
