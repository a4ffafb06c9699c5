-- ARGV[3]  now            [4] digest        [5] the text of its id              [6] principal
-- ARGV[7]  when it may be over first        [8] the record after its generation
-- ARGV[9]  how long it may live, as a duration                [10] an incarnation never used before
-- ARGV[11] most sessions, or ''             [12] who goes: 'oldest', 'idlest', 'refuse'
-- ARGV[13] the id of the session it replaces, or ''

local now, digest, principal, due_at = ARGV[3], ARGV[4], ARGV[6], ARGV[7]
local most, on_limit, replaces = tonumber(ARGV[11]), ARGV[12], ARGV[13]
local epoch = read_epoch()
local siblings = key('principal', principal)

local rivals, replaced = {}, nil
if epoch and principal ~= '' and (most or replaces ~= '') then
    for _, member in ipairs(call('ZRANGE', siblings, '[L', '(M', 'BYLEX')) do
        local rival = by_id(sub(member, 10, 25))
        if rival and is_of(epoch, rival) and not over(epoch, rival, now) then
            if rival.id == replaces then
                replaced = rival
            else
                rivals[#rivals + 1] = rival
            end
        end
    end
end

local is_taken = call('EXISTS', key('record', digest), key('session', 'ses_' .. ARGV[5])) > 0
local excess = most and principal ~= '' and math.max(#rivals + 1 - most, 0) or 0
if is_taken then
    return { 'taken' }
end
if excess > 0 and on_limit == 'refuse' then
    return { 'limit' }
end
for _, rival in ipairs(rivals) do
    rival.rank = on_limit == 'idlest' and rival.seen_at .. rival.place or rival.created_at .. rival.seen_at .. rival.id
end
table.sort(rivals, function(a, b) return less(a.rank, b.rank) end)

if not epoch then
    epoch = new_epoch(ARGV[10])
    write_epoch(epoch)
end
local record = 'L' .. epoch.incarnation .. pack('>I4', epoch.generation) .. ARGV[8]
local session = open(record)
session.digest, session.seen_at, session.due_at = digest, session.created_at, due_at
file(session, record, milliseconds(ARGV[9]) + milliseconds(session.retention))

-- Places of sessions that expired while no index of due instants led to them: those of the principal's oldest go with each
-- sign-in, so that they are fewer and fewer.
for _, kind in ipairs(principal ~= '' and { 'L', 'E' } or {}) do
    local oldest = call('ZRANGE', siblings, '[' .. kind, '[' .. kind .. '\255', 'BYLEX', 'LIMIT', 0, 1)[1]
    local id = oldest and sub(oldest, 10, 25)
    if id and call('EXISTS', key('session', 'ses_' .. text_of(id))) == 0 then
        call('ZREM', siblings, oldest)
        if kind == 'L' then
            announce(part_of(id))
        end
    end
end

local answer = { 'done' }
if replaced then
    answer[2] = bury(replaced, now, 'replaced')
end
for at = 1, excess do
    answer[#answer + 1] = bury(rivals[at], now, 'session_limit')
end
return answer
