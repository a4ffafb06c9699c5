-- Ends one session, or those of a principal.
--
-- ARGV[3]  now            [4] reason        [5] the id of the one, or ''
-- ARGV[6]  principal      [7] the id of the one that lives on, or ''
-- ARGV[8]  the part that they are in

local now, reason, principal, except = ARGV[3], ARGV[4], ARGV[6], ARGV[7]
local epoch = read_epoch()
-- A key that names sessions was lost behind the store's back: they are unknown here, and a copy may be anywhere.
local is_any_lost = principal ~= '' and call('EXISTS', key('principal', principal)) == 0
local ids, places = {}, {}
if principal == '' then
    ids[1] = ARGV[5]
else
    for _, member in ipairs(call('ZRANGE', key('principal', principal), '[L', '(M', 'BYLEX')) do
        local id = sub(member, 10, 25)
        ids[#ids + 1], places[id] = id, member
    end
end

local buried = {}
for _, id in ipairs(ids) do
    if id ~= except then
        local session, entry = by_id(id)
        if session and is_of(epoch, session) then
            -- What everything ended has ended already. What time has ended is buried all the same: by another clock
            -- it may live, and must not.
            if not first_end(epoch, session) then
                local at, why = expired(session, now)
                buried[#buried + 1] = bury(session, at or now, why or reason)
            end
        elseif entry then
            local record = call('GET', key('record', sub(entry, 1, 46)))
            if not record or byte(record, 1) ~= 84 then
                discard(id, entry)
            end
        elseif not entry then
            is_any_lost = true
            if places[id] then
                call('ZREM', key('principal', principal), places[id])
            end
        end
    end
end
if is_any_lost then
    announce(ARGV[8])
end
return buried
