-- One row, always. Whoever adds locks it first and until their commit: numbers are handed out in the order of commits, and a
-- row is visible before the next number is there. AUTO_INCREMENT would hand numbers out in the order of asking: whoever had
-- read up to 8 would never see a 7 that was committed later. `pings`: changed to find out whether anything can be.
CREATE TABLE IF NOT EXISTS revocation_head (
    singleton TINYINT NOT NULL PRIMARY KEY,
    last      BIGINT  NOT NULL,
    pings     BIGINT  NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
