-- A small team at work, so that the demo's tables are not empty. Fits the sample app as of 009.

INSERT INTO teams (name) VALUES ('Design'), ('Engineering'), ('Support');

INSERT INTO users (email, name, is_admin)
SELECT 'member' || n || '@example.com', 'Member ' || n, n % 20 = 0
FROM generate_series(1, 60) AS n;

INSERT INTO team_members (team_id, user_id)
SELECT 1 + n % 3, n FROM generate_series(1, 60) AS n;

INSERT INTO projects (team_id, name)
SELECT 1 + n % 3, 'Project ' || n FROM generate_series(1, 12) AS n;

INSERT INTO tasks (project_id, title, status, assignee_id, due_on)
SELECT 1 + n % 12, 'Task ' || n, (ARRAY['open', 'in_progress', 'done'])[1 + n % 3]::task_status, 1 + n % 60,
  DATE '2026-01-05' + n % 200
FROM generate_series(1, 400) AS n;

INSERT INTO comments (task_id, author_id, body)
SELECT 1 + n % 400, 1 + n % 60, 'Comment ' || n FROM generate_series(1, 900) AS n;

INSERT INTO channels (team_id, name) VALUES (1, 'design'), (2, 'engineering'), (2, 'deploys'), (3, 'support');

INSERT INTO messages (channel_id, author_id, body)
SELECT 1 + n % 4, 1 + n % 60, 'Message ' || n FROM generate_series(1, 3000) AS n;
