-- A task that waits for somebody else
ALTER TYPE task_status ADD VALUE IF NOT EXISTS 'blocked' BEFORE 'done';
