BEGIN;

UPDATE users
SET role = 'admin'
WHERE is_admin AND role = 'member';

COMMIT;
