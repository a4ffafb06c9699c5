-- Lists of one address are read in their order, row by row, and stop where the page is full. Only live sessions have an
-- address. Asked for in words of its own, like the others: `ip IS NOT NULL`. Built beside the work where there
-- are sessions already.
CREATE INDEX CONCURRENTLY session_ip ON cloakroom.session (ip, created_at, id) WHERE ip IS NOT NULL;

INSERT INTO cloakroom.schema_version (version) VALUES (4);
