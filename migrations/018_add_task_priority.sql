BEGIN;

-- 0 is normal; the list shows higher ones first
ALTER TABLE tasks
ADD COLUMN IF NOT EXISTS priority SMALLINT NOT NULL DEFAULT 0;

COMMIT;
