CREATE COLLATION german (locale = 'C');
