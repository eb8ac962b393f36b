ALTER TYPE mood ADD VALUE 'calm';
UPDATE moods SET mood = 'calm' WHERE id = 1;
