ALTER TABLE orders ADD COLUMN team_id integer DEFAULT 1 REFERENCES teams (id);
