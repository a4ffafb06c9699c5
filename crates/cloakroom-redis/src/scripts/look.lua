-- How a session is found. The first part of every script.
--
-- KEYS[1]  the bucket's epoch; in a Cluster also KEYS[2], a key that never exists: while the bucket's slot is on its way
--          to another node, the server answers ASK or TRYAGAIN for it before the script has begun.
-- ARGV[1]  what the names of all keys begin with; ARGV[2]  the bucket's hash tag, or nothing.
--
-- Instants are eight bytes, big-endian, with the sign turned over: their order as bytes is their order in time, and
-- nothing is lost in Lua's doubles. Durations are eight bytes, big-endian. src/map.rs writes and reads the same.

local call, sub, byte, unpack = redis.call, string.sub, string.byte, struct.unpack

local function key(class, name)
    return ARGV[1] .. class .. ':' .. ARGV[2] .. name
end

-- The offsets in a live record:
--   1 'L', 2 incarnation, 10 generation, 14 version, 22 created_at, 30 idle timeout, 38 absolute instant,
--   46 retention, 54 id, 70 its text without 'ses_', 92 length of the principal, 94 principal, length of the address,
--   address, and the record as cloakroom-store encodes it.
local function is_live_form(record)
    return record and byte(record, 1) == 76 and #record >= 94 and #record >= 94 + unpack('>I2', record, 92)
end

local function principal_of(record)
    return sub(record, 94, 93 + unpack('>I2', record, 92))
end

-- The record under a digest, and what has to be there besides for it to live: the session's entry, which names this
-- digest, and its place among the sessions of its principal. Whatever is missing (evicted, deleted), the session is
-- refused: what could not be found to be ended must not be found by its token either. Then the epoch, for whoever judges.
local function look(digest)
    local record = call('GET', key('record', digest))
    if not is_live_form(record) then
        return record, false, false, false
    end
    local both = call('MGET', key('session', 'ses_' .. sub(record, 70, 91)), KEYS[1])
    local entry, epoch = both[1], both[2]
    if not entry or #entry ~= 62 or sub(entry, 1, 46) ~= digest then
        return record, false, false, epoch
    end
    local principal = principal_of(record)
    if principal ~= '' then
        local member = 'L' .. sub(record, 22, 29) .. sub(record, 54, 69)
        return record, entry, call('ZSCORE', key('principal', principal), member) and 1 or false, epoch
    end
    return record, entry, 1, epoch
end
