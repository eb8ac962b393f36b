CREATE TYPE step AS ENUM ('a', 'b');
DROP TYPE step;
