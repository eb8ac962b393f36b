TRUNCATE sessions,
    login_attempts RESTART IDENTITY;
