PREPARE cleanup(int) AS DELETE FROM sessions WHERE id = $1;
EXECUTE cleanup(1);
