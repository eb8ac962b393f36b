COPY users FROM '/srv/users.csv' WITH (FORMAT csv);
