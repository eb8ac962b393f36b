ALTER TYPE mood ADD VALUE 'calm';
UPDATE moods SET mood = 'calm'::mood WHERE id = 1;
