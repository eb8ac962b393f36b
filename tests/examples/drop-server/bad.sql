DROP SERVER warehouse;
