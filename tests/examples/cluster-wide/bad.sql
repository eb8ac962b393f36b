ALTER ROLE reader SET statement_timeout = '5s';
