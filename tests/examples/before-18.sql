-- The same, for servers that know it.
CREATE TABLE members (id integer, team_id integer);
INSERT INTO members VALUES (1, 1);
ALTER TABLE members ADD CONSTRAINT members_team_fkey FOREIGN KEY (team_id) REFERENCES teams (id) NOT ENFORCED;
