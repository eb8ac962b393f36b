DELETE FROM albums WHERE id = 1;
