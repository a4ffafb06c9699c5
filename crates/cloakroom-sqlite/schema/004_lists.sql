-- Lists of one principal and of one address are read in their order, row by row, and stop where the page is full: a
-- principal with a hundred thousand sessions costs no more than one with twenty.

DROP INDEX session_live_principal;
DROP INDEX session_ended_principal;
CREATE INDEX session_live_principal ON session (principal, created_at, id)
    WHERE principal IS NOT NULL AND ended_at IS NULL;
CREATE INDEX session_ended_principal ON session (principal, created_at, id)
    WHERE principal IS NOT NULL AND ended_at IS NOT NULL;

-- Only live sessions have an address.
CREATE INDEX session_ip ON session (ip, created_at, id) WHERE ip IS NOT NULL AND ended_at IS NULL;
