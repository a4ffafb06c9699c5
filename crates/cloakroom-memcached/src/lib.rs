//! Cloakroom sessions in memcached.
