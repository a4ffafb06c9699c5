-- Replaces a record, with or without its token.
--
-- ARGV[3]  now            [4] digest        [5] the version it was read at      [6] id            [7] created_at
-- ARGV[8]  principal      [9] the record after its generation, with its next version
-- ARGV[10] how long it may live, as a duration                [11] the digest it moves to, or ''

local now, digest, moves_to = ARGV[3], ARGV[4], ARGV[11]
local record, entry, listed = look(digest)
local epoch = read_epoch()

-- Whatever it is that keeps it from being changed, the asker finds out by the rules it reads by.
local function refused(why)
    return { why, record, entry, listed, call('GET', KEYS[1]) }
end

local session = listed and fill(open(record), entry)
if not session or not is_of(epoch, session) or over(epoch, session, now) then
    return refused('over')
end
if session.version ~= ARGV[5] then
    return refused('conflict')
end
if session.id ~= ARGV[6] or session.created_at ~= ARGV[7] or session.principal ~= ARGV[8] then
    return refused('another')
end

local next_record = 'L' .. session.incarnation .. pack('>I4', session.generation) .. ARGV[9]
local changed = fill(open(next_record), entry)
local ttl = milliseconds(ARGV[10]) + milliseconds(changed.retention)
if moves_to ~= '' then
    if call('EXISTS', key('record', moves_to)) > 0 then
        return refused('taken')
    end
    -- An exchange is activity.
    local seen_at = earlier(now, changed.absolute_at)
    if less(changed.seen_at, seen_at) then
        changed.seen_at = seen_at
    end
    changed.digest = moves_to
end

-- Where the limits in force came nearer, the sweep has to come sooner.
local due_at = expires_at(changed)
if less(due_at, session.due_at) then
    call('ZREM', due_index(), session.due_at .. 's' .. session.trace)
    call('ZADD', due_index(), 0, due_at .. 's' .. session.trace)
    changed.due_at = due_at
end
call('SET', key('record', changed.digest), next_record, 'PX', ttl)
call('SET', key('session', 'ses_' .. session.text), changed.digest .. changed.seen_at .. changed.due_at, 'PX', ttl)
if session.principal ~= '' then
    keep_for(key('principal', session.principal), ttl)
end
if moves_to ~= '' then
    local keep_until = plus(now, changed.retention)
    call('SET', key('record', digest), 'R' .. session.id .. now, 'PX', milliseconds(changed.retention))
    call('ZADD', retired_index(), 0, keep_until .. digest)
end
return { 'done' }
