INSERT INTO users (id, name) VALUES (1, '/srv/users.csv');
