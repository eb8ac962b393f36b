MERGE INTO stock USING counted ON stock.item = counted.item
WHEN NOT MATCHED BY SOURCE THEN DELETE;
