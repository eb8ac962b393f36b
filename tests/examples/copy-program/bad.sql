COPY users FROM PROGRAM 'curl https://example.com/users.csv' WITH (FORMAT csv);
