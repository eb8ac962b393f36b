BEGIN;

-- Finished projects leave the list, and stay readable
ALTER TABLE projects
ADD COLUMN IF NOT EXISTS archived_at TIMESTAMPTZ;

CREATE INDEX IF NOT EXISTS idx_projects_active
ON projects(team_id) WHERE archived_at IS NULL;

COMMIT;
