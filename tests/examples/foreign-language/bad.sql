CREATE FUNCTION tidy() RETURNS void LANGUAGE plpython3u AS 'plpy.execute("x")';
SELECT tidy();
