SELECT archive_everything();
