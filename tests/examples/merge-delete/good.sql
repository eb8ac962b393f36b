MERGE INTO stock USING counted ON stock.item = counted.item
WHEN NOT MATCHED BY SOURCE AND stock.counted_at < '2024-01-01' THEN DELETE
WHEN MATCHED AND counted.n = 0 THEN DELETE;
