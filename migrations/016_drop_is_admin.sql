BEGIN;

-- 014 moved it to role, and no code reads it any more
ALTER TABLE users
DROP COLUMN IF EXISTS is_admin;

COMMIT;
