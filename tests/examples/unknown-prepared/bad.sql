EXECUTE cleanup(1);
