SELECT pg_catalog.set_config('search_path', '', false);
UPDATE public.users SET age = 1 WHERE id = 1;
