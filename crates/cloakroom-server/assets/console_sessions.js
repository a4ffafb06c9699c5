// Sessions, people and accounts.
