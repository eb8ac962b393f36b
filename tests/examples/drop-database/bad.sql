DROP DATABASE app_copy;
