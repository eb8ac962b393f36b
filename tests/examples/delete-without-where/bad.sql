WITH gone AS (
    DELETE FROM sessions WHERE 1 = 1 RETURNING id
)
SELECT count(*) FROM gone;
