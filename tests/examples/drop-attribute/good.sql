CREATE TYPE place AS (street text, town text);
ALTER TYPE place DROP ATTRIBUTE street;
ALTER TYPE address ADD ATTRIBUTE country text;
