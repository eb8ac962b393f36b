ALTER TRIGGER touch ON users RENAME TO touched;
