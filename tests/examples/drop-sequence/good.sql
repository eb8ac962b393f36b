CREATE SEQUENCE receipt_numbers;
ALTER SEQUENCE invoice_numbers OWNED BY NONE;
DROP SEQUENCE receipt_numbers;
