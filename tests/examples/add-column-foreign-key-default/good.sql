ALTER TABLE orders ADD COLUMN team_id integer REFERENCES teams (id);
