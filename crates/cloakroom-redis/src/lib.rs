//! Cloakroom sessions in redis.
