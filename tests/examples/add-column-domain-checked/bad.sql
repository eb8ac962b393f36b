ALTER TABLE users ADD COLUMN progress percent;
