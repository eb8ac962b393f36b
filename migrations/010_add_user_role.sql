-- Two kinds of people are no longer enough; 014 moves is_admin over
ALTER TABLE users
ADD COLUMN IF NOT EXISTS role VARCHAR(20) NOT NULL DEFAULT 'member';
