CLUSTER users USING users_age;
