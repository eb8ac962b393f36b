DELETE FROM photos WHERE album_id = 1;
