SET work_mem = '16MB';
