CREATE DOMAIN plate AS text;
DROP DOMAIN plate;
