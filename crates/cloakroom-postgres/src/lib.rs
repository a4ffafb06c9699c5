//! Cloakroom sessions in postgres.
