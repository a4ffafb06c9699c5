//! Cloakroom sessions in mysql.
