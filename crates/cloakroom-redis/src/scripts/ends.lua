-- The list of ends of sessions that travel in their tokens. The first part of its scripts.
--
-- KEYS[1]  the list: one sorted set, whose members all have the score 0 and so lie in the order of their bytes.
--   'L' number (8 bytes) nonce (8) entry       what was added, in the order of its numbers
--   'U' until (8) number (8)                   when which of it is over
-- All of it is in one key, because a key is what a server forgets as a whole: a list that lost a part cannot be.
--
-- Numbers are big-endian, instants as in look.lua. src/ends writes and reads the same.

local call, sub, pack, unpack = redis.call, string.sub, struct.pack, struct.unpack
local list = KEYS[1]

-- Not a server that once was a primary, or may be written to all the same. The caller looks for the primary then.
if not string.find(call('INFO', 'replication'), 'role:master', 1, true) then
    return redis.error_reply('READONLY the list of ends is the primary\'s')
end

-- The entry with the highest number.
local function newest()
    return call('ZRANGE', list, '(M', '[L', 'BYLEX', 'REV', 'LIMIT', 0, 1)[1]
end
