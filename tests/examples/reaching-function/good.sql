SELECT pid FROM pg_stat_activity;
SELECT setval('users_id_seq', (SELECT max(id) FROM users));
