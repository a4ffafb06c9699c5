-- What the indexes say of each other.
--
-- Each session is once in the index of due instants, and once in that of live or of ended ones. One of these keys may be lost
-- alone, evicted or deleted. Then what lives is put back from the other one, and a place that nothing stands behind any more
-- is dropped: nobody else would come for it. A round walks as many places as it has left, and the next one goes on from there.

-- Looks after a place of an index of live ones: buries the session if it is over, sees that it is due some time if it lives,
-- and drops the place if there is none.
local function tend_live(index, member)
    left = left - 1
    local id = sub(member, 10, 25)
    local session, entry = by_id(id)
    if session and session.kind .. session.place == member and is_of(epoch, session) then
        local at, reason = over(epoch, session, now)
        if at then
            buried[#buried + 1] = bury(session, at, reason)
        else
            call('ZADD', due_index(), 0, session.due_at .. 's' .. session.trace)
        end
        return
    elseif not session and entry then
        local record = call('GET', key('record', sub(entry, 1, 46)))
        if not record or byte(record, 1) ~= 84 then
            if is_live_form(record) then
                forget(sub(entry, 55, 62), 's', open(record).trace)
            end
            discard(id, entry)
            removed = removed + 1
        end
    end
    call('ZREM', index, member)
end

-- The same for a place of the index of ended ones.
local function tend_ended(index, place)
    left = left - 1
    local entry = call('GET', key('session', 'ses_' .. text_of(sub(place, 9, 24))))
    local record = entry and #entry == 62 and call('GET', key('record', sub(entry, 1, 46)))
    if record and is_tombstone_at(record, place) then
        local trace = trace_of_ended(place, principal_of_tombstone(record))
        call('ZADD', due_index(), 0, sub(entry, 55, 62) .. 't' .. trace)
    else
        call('ZREM', index, place)
    end
end

-- The same for a place of the index of due instants that is not due yet: sees that lists and counts know of it.
local function tend_due(index, due)
    left = left - 1
    local due_at, kind, trace = sub(due, 1, 8), sub(due, 9, 9), sub(due, 10)
    local place, id = sub(trace, 5, 28), sub(trace, 13, 28)
    local session, entry = by_id(id)
    if entry and sub(entry, 55, 62) ~= due_at then
        -- Another place is about it.
        call('ZREM', index, due)
        return
    end
    if kind == 's' and session and session.trace == trace and is_of(epoch, session) then
        local at, reason = over(epoch, session, now)
        if at then
            buried[#buried + 1] = bury(session, at, reason)
        else
            call('ZADD', live_index(session.generation), 0, session.kind .. place)
        end
        return
    end
    local record = kind == 't' and entry and call('GET', key('record', sub(entry, 1, 46)))
    if record and is_tombstone_at(record, place) then
        call('ZADD', ended_index(), 0, place)
        return
    end
    forget(due_at, kind, trace)
    discard(id, entry)
    announce(part_of(id))
end

-- Walks what is left of the round through whichever index knows more than the other; whether to go on at once. A stretch that
-- is all right is no reason to wait: what is not may come behind it.
local function mend()
    local surplus = astray(epoch)
    if surplus == 0 then
        return false
    end
    local stages = { { 'd', due_index(), tend_due } }
    if surplus < 0 then
        stages = { { 'l', live_index(epoch and epoch.generation or 0), tend_live }, { 'e', ended_index(), tend_ended } }
    end
    local name = key('sweeper', 'place')
    local reached, at = call('GET', name) or '', 1
    for number, stage in ipairs(stages) do
        if stage[1] == sub(reached, 1, 1) then
            at = number
        end
    end
    while left > 0 and at <= #stages do
        local letter, index, tend = stages[at][1], stages[at][2], stages[at][3]
        local from = letter == sub(reached, 1, 1) and #reached > 1 and '(' .. sub(reached, 2) or '-'
        reached = letter
        for _, member in ipairs(call('ZRANGE', index, from, '+', 'BYLEX', 'LIMIT', 0, left)) do
            tend(index, member)
            reached = letter .. member
        end
        if left > 0 then
            at = at + 1
        end
    end
    if at > #stages or astray(epoch) == 0 then
        call('DEL', name)
        return false
    end
    call('SET', name, reached, 'PX', SLACK)
    return true
end
