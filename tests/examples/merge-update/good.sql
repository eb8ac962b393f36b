MERGE INTO stock USING counted ON stock.item = counted.item
WHEN MATCHED THEN UPDATE SET n = counted.n
WHEN NOT MATCHED THEN INSERT VALUES (counted.item, counted.n);
