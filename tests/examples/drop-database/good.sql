ALTER DATABASE app SET work_mem = '16MB';
