-- Files what another store told, as it is.
--
-- ARGV[3]  digest         [4] an incarnation never used before              [5] 'live', 'ended' or 'retired'
-- ARGV[6]  how long to keep it, as a duration
-- live:    [7] the text of its id           [8] the record after its generation
--          [9] last activity                [10] when it may be over first
-- ended:   [7] the text of its id           [8] id            [9] created_at    [10] principal
--          [11] the tombstone               [12] kept until
-- retired: [7] the record                   [8] kept until

local digest, what, ttl = ARGV[3], ARGV[5], milliseconds(ARGV[6])
if call('EXISTS', key('record', digest)) > 0 then
    return 0
end
if what == 'retired' then
    call('SET', key('record', digest), ARGV[7], 'PX', ttl)
    call('ZADD', retired_index(), 0, ARGV[8] .. digest)
    return 1
end
if call('EXISTS', key('session', 'ses_' .. ARGV[7])) > 0 then
    return 0
end
local epoch = read_epoch()
if not epoch then
    epoch = new_epoch(ARGV[4])
    write_epoch(epoch)
end
local stamp = 'L' .. epoch.incarnation .. pack('>I4', epoch.generation)
if what == 'live' then
    local record = stamp .. ARGV[8]
    local session = open(record)
    session.digest, session.seen_at, session.due_at = digest, ARGV[9], ARGV[10]
    if epoch.all_reason == '' or less(epoch.all_ended_at, session.created_at) then
        file(session, record, ttl + milliseconds(session.retention))
        return 1
    end
    -- It was among everything when everything ended; time may have ended it before.
    local at, reason = expired(session, epoch.all_ended_at)
    at = at or epoch.all_ended_at
    local tombstone = tombstone_of(session, at, reason or epoch.all_reason)
    lay(session, tombstone, plus(at, session.retention), ttl + milliseconds(session.retention))
    return 1
end
local session = {
    digest = digest, text = ARGV[7], principal = ARGV[10], seen_at = ARGV[9], place = ARGV[9] .. ARGV[8],
}
lay(session, ARGV[11], ARGV[12], ttl)
return 1
