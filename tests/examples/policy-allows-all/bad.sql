CREATE POLICY anybody ON users USING (true);
