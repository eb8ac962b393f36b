ALTER DOMAIN percent DROP CONSTRAINT percent_high;
