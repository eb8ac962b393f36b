CREATE TYPE weather AS ENUM ('sun');
ALTER TYPE weather ADD VALUE 'rain';
SELECT 'rain'::weather;
