-- Whether a session is over, exactly as cloakroom_core::judge says it, and how it is buried.

local pack = struct.pack

-- A safety net against sweeps that never come, never what decides: an hour more than anybody needs the key, so that
-- neither a step of the server's clock nor one of ours takes a session away. Milliseconds.
local SLACK = 3600000
-- A hundred years: what a key's time to live is cut to. Milliseconds.
local LONGEST = 3155760000000

-- Lua compares strings by the server's locale; this compares bytes.
local function less(a, b)
    for at = 1, #a do
        local x, y = byte(a, at), byte(b, at)
        if x ~= y then
            return y ~= nil and x < y
        end
    end
    return #a < #b
end

-- The instant a duration later, or the last one there is.
local function plus(instant, duration)
    local high, low = unpack('>I4I4', instant)
    local more_high, more_low = unpack('>I4I4', duration)
    high, low = high + more_high, low + more_low
    if low >= 4294967296 then
        high, low = high + 1, low - 4294967296
    end
    if high >= 4294967296 then
        return '\255\255\255\255\255\255\255\255'
    end
    return pack('>I4I4', high, low)
end

local function earlier(a, b)
    return less(b, a) and b or a
end

local function milliseconds(duration)
    local high, low = unpack('>I4I4', duration)
    return math.min(high * 4294967296 + low, LONGEST) + SLACK
end

-- Keys of one session come and go together: an index lives as long as the last of those in it.
local function keep_for(name, ttl)
    if call('PTTL', name) < ttl then
        call('PEXPIRE', name, ttl)
    end
end

local LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

local function letter(number)
    local at = number % 64 + 1
    return sub(LETTERS, at, at)
end

-- The text of a session id: 16 bytes as 22 letters.
local function text_of(id)
    local text = {}
    for at = 1, 13, 3 do
        local a, b, c = byte(id, at, at + 2)
        local bits = a * 65536 + b * 256 + c
        text[#text + 1] = letter(math.floor(bits / 262144)) .. letter(math.floor(bits / 4096))
            .. letter(math.floor(bits / 64)) .. letter(bits)
    end
    local last = byte(id, 16)
    return table.concat(text) .. letter(math.floor(last / 4)) .. letter(last * 16)
end

-- 'E', incarnation, generation, the oldest generation that is not swept, the latest instant at which everything ended and
-- why (never forgotten, for those who are imported later), and the ends that still matter, in their order.
local function read_epoch()
    local bytes = call('GET', KEYS[1])
    if not bytes or byte(bytes, 1) ~= 69 or #bytes < 26 then
        return nil
    end
    local generation, oldest = unpack('>I4I4', bytes, 10)
    local length = byte(bytes, 26)
    local epoch = {
        incarnation = sub(bytes, 2, 9),
        generation = generation,
        oldest = oldest,
        all_ended_at = sub(bytes, 18, 25),
        all_reason = sub(bytes, 27, 26 + length),
        ends = {},
    }
    local at = 27 + length
    while at <= #bytes do
        length = byte(bytes, at + 21)
        epoch.ends[#epoch.ends + 1] = {
            scope = sub(bytes, at, at),
            number = unpack('>I4', bytes, at + 1),
            instant = sub(bytes, at + 5, at + 12),
            ended_at = sub(bytes, at + 13, at + 20),
            reason = sub(bytes, at + 22, at + 21 + length),
        }
        at = at + 22 + length
    end
    return epoch
end

local FIRST_INSTANT = '\0\0\0\0\0\0\0\0'

local function new_epoch(incarnation)
    return {
        incarnation = incarnation,
        generation = 0,
        oldest = 0,
        all_ended_at = FIRST_INSTANT,
        all_reason = '',
        ends = {},
    }
end

local function write_epoch(epoch)
    local bytes = {
        'E', epoch.incarnation, pack('>I4I4', epoch.generation, epoch.oldest), epoch.all_ended_at,
        string.char(#epoch.all_reason), epoch.all_reason,
    }
    for _, one in ipairs(epoch.ends) do
        bytes[#bytes + 1] = one.scope .. pack('>I4', one.number) .. one.instant .. one.ended_at
            .. string.char(#one.reason) .. one.reason
    end
    call('SET', KEYS[1], table.concat(bytes))
end

-- Sessions issued before this instant are over.
local function issued_before(epoch)
    local latest = FIRST_INSTANT
    for _, one in ipairs(epoch.ends) do
        if one.scope == 'B' and less(latest, one.instant) then
            latest = one.instant
        end
    end
    return latest
end

local function live_index(generation)
    return key('index', 'live:' .. generation)
end

local function due_index()
    return key('index', 'due')
end

local function ended_index()
    return key('index', 'ended')
end

local function retired_index()
    return key('index', 'retired')
end

-- A live record as a table.
local function open(record)
    local principal = principal_of(record)
    local session = {
        incarnation = sub(record, 2, 9),
        generation = unpack('>I4', record, 10),
        version = sub(record, 14, 21),
        created_at = sub(record, 22, 29),
        idle_timeout = sub(record, 30, 37),
        absolute_at = sub(record, 38, 45),
        retention = sub(record, 46, 53),
        id = sub(record, 54, 69),
        text = sub(record, 70, 91),
        principal = principal,
    }
    -- Its place among those of its principal and in every list: by instant of issue, then by id.
    session.place = session.created_at .. session.id
    session.kind = principal == '' and 'a' or 'p'
    -- What an index of due instants says of it: enough to remove every trace of it when its own keys are gone.
    session.trace = pack('>I4', session.generation) .. session.place .. principal
    return session
end

local function fill(session, entry)
    session.digest, session.seen_at, session.due_at = sub(entry, 1, 46), sub(entry, 47, 54), sub(entry, 55, 62)
    return session
end

-- The live session under a digest; nil where there is none that `get` would look at.
local function by_digest(digest)
    local record, entry, listed = look(digest)
    if listed then
        return fill(open(record), entry)
    end
end

-- The live session with an id, and its entry.
local function by_id(id)
    local entry = call('GET', key('session', 'ses_' .. text_of(id)))
    if entry and #entry == 62 then
        return by_digest(sub(entry, 1, 46)), entry
    end
end

-- The end of everything that was the first to end a session.
local function first_end(epoch, session)
    for _, one in ipairs(epoch.ends) do
        if one.scope == 'A' and session.generation < one.number
            or one.scope == 'B' and less(session.created_at, one.instant) then
            return one
        end
    end
end

-- Whether the epoch knows of the session's time: not where the epoch was lost and begun anew.
local function is_of(epoch, session)
    return epoch and session.incarnation == epoch.incarnation
        and (session.generation == epoch.generation or first_end(epoch, session) ~= nil)
end

local function expires_at(session)
    return earlier(plus(session.seen_at, session.idle_timeout), session.absolute_at)
end

-- The instant at which time has ended a session by now, and why.
local function expired(session, now)
    local idle_at = plus(session.seen_at, session.idle_timeout)
    if not less(idle_at, session.absolute_at) and not less(now, session.absolute_at) then
        return session.absolute_at, 'absolute_timeout'
    end
    if not less(now, idle_at) then
        return idle_at, 'idle_timeout'
    end
end

-- The instant at which a session has ended by now, and why; nil while it lives.
local function over(epoch, session, now)
    local one = first_end(epoch, session)
    if not one then
        return expired(session, now)
    end
    -- Time may have ended it before.
    local at, reason = expired(session, one.ended_at)
    return at or one.ended_at, reason or one.reason
end

-- Files a live session.
local function file(session, record, ttl)
    call('SET', key('record', session.digest), record, 'PX', ttl)
    call('SET', key('session', 'ses_' .. session.text), session.digest .. session.seen_at .. session.due_at, 'PX', ttl)
    call('ZADD', live_index(session.generation), 0, session.kind .. session.place)
    call('ZADD', due_index(), 0, session.due_at .. 's' .. session.trace)
    if session.principal ~= '' then
        local siblings = key('principal', session.principal)
        call('ZADD', siblings, 0, 'L' .. session.place)
        keep_for(siblings, ttl)
    end
end

-- What an index of due instants says of what is left of a session: of which generation it was matters no more.
local function trace_of_ended(place, principal)
    return '\0\0\0\0' .. place .. principal
end

-- Files what is left of a session.
local function lay(session, tombstone, keep_until, ttl)
    call('SET', key('record', session.digest), tombstone, 'PX', ttl)
    call('SET', key('session', 'ses_' .. session.text), session.digest .. session.seen_at .. keep_until, 'PX', ttl)
    call('ZADD', due_index(), 0, keep_until .. 't' .. trace_of_ended(session.place, session.principal))
    call('ZADD', ended_index(), 0, session.place)
    if session.principal ~= '' then
        local siblings = key('principal', session.principal)
        call('ZADD', siblings, 0, 'E' .. session.place)
        keep_for(siblings, ttl)
    end
end

local function tombstone_of(session, ended_at, reason)
    return 'T' .. session.id .. session.created_at .. ended_at .. string.char(#reason) .. reason .. session.principal
end

-- Whether a record is what is left of the session at a place of the index of ended ones.
local function is_tombstone_at(record, place)
    return byte(record, 1) == 84 and #record >= 34 and sub(record, 18, 25) .. sub(record, 2, 17) == place
end

local function principal_of_tombstone(record)
    return sub(record, 35 + byte(record, 34))
end

-- Leaves of a live session what says why it ended, in the place of its record.
local function bury(session, ended_at, reason)
    local tombstone = tombstone_of(session, ended_at, reason)
    lay(session, tombstone, plus(ended_at, session.retention), milliseconds(session.retention))
    call('ZREM', live_index(session.generation), session.kind .. session.place)
    call('ZREM', due_index(), session.due_at .. 's' .. session.trace)
    if session.principal ~= '' then
        call('ZREM', key('principal', session.principal), 'L' .. session.place)
    end
    return tombstone
end

-- Removes what the indexes say of a session or of what is left of one: a trace names every place.
local function forget(due_at, kind, trace)
    local generation, place, principal = unpack('>I4', trace), sub(trace, 5, 28), sub(trace, 29)
    call('ZREM', due_index(), due_at .. kind .. trace)
    if kind == 's' then
        call('ZREM', live_index(generation), (principal == '' and 'a' or 'p') .. place)
    else
        call('ZREM', ended_index(), place)
    end
    if principal ~= '' then
        call('ZREM', key('principal', principal), (kind == 's' and 'L' or 'E') .. place)
    end
end

-- Removes a session of which nothing can be said: damaged, or of a time that the epoch does not know. Nobody could be
-- let in by it before.
local function discard(id, entry)
    call('DEL', key('session', 'ses_' .. text_of(id)))
    if entry then
        call('DEL', key('record', sub(entry, 1, 46)))
    end
end

-- The part that a session is in: the first byte of its route, with which its id begins.
local function part_of(id)
    return string.format('%02x', byte(id, 1))
end

-- Tells whoever follows this store's changes that anything may have become of the sessions of a part (two hexadecimal
-- digits): where a key is missing by which a session would have been found, nothing else would tell of it. Leaves nothing.
local function announce(part)
    local name = key('news', part)
    call('SET', name, 1)
    call('DEL', name)
end

-- How many more places the index of due instants has than those of live and of ended sessions together: none, unless one of
-- these keys was lost. While an end of everything is being buried, nobody asks.
local function astray(epoch)
    if epoch and epoch.oldest < epoch.generation then
        return 0
    end
    local live = call('ZCARD', live_index(epoch and epoch.generation or 0))
    return call('ZCARD', due_index()) - live - call('ZCARD', ended_index())
end
