CREATE POLICY own_rows ON users USING (name = current_user);
