DROP POLICY own_rows ON users;
