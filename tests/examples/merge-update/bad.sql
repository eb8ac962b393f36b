MERGE INTO stock USING counted ON true
WHEN MATCHED THEN UPDATE SET n = counted.n;
