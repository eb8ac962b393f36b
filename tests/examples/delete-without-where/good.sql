DELETE FROM sessions WHERE expires_at < now() - interval '30 days';
EXPLAIN DELETE FROM sessions;
