-- One round of clearing up in one bucket: what ended, what is due, what is kept no longer, and what went astray.

local function bury_what_epochs_ended()
    local oldest, ends = epoch.oldest, #epoch.ends
    while left > 0 and epoch.oldest < epoch.generation do
        local index = live_index(epoch.oldest)
        for _, member in ipairs(call('ZRANGE', index, '-', '+', 'BYLEX', 'LIMIT', 0, left)) do
            tend_live(index, member)
        end
        if call('ZCARD', index) > 0 then
            break
        end
        epoch.oldest = epoch.oldest + 1
    end
    local index, before = live_index(epoch.generation), issued_before(epoch)
    for _, kind in ipairs({ 'a', 'p' }) do
        if left > 0 then
            for _, member in ipairs(call('ZRANGE', index, '[' .. kind, '(' .. kind .. before, 'BYLEX', 'LIMIT', 0, left)) do
                tend_live(index, member)
            end
        end
    end
    if left > 0 and #epoch.ends > 0 then
        -- All whom they ended are buried: only the one that keeps late arrivals out is needed any more.
        local kept = {}
        for _, one in ipairs(epoch.ends) do
            if #kept == 0 and one.scope == 'B' and one.instant == before then
                kept[1] = one
            end
        end
        epoch.ends = kept
    end
    if epoch.oldest ~= oldest or #epoch.ends ~= ends then
        write_epoch(epoch)
    end
end

-- What an entry of the index of due instants is about.
local function clear(due)
    left = left - 1
    local due_at, kind, trace = sub(due, 1, 8), sub(due, 9, 9), sub(due, 10)
    local id = sub(trace, 13, 28)
    local entry = call('GET', key('session', 'ses_' .. text_of(id)))
    if entry and #entry == 62 and sub(entry, 55, 62) ~= due_at then
        -- Another entry is about it.
        call('ZREM', due_index(), due)
        return
    end
    if kind == 's' then
        local session = by_id(id)
        if session and session.trace == trace and is_of(epoch, session) then
            local at, reason = over(epoch, session, now)
            if at then
                buried[#buried + 1] = bury(session, at, reason)
                return
            end
            local later = expires_at(session)
            call('ZREM', due_index(), due)
            call('ZADD', due_index(), 0, later .. 's' .. trace)
            call('SETRANGE', key('session', 'ses_' .. session.text), 54, later)
            return
        end
    end
    forget(due_at, kind, trace)
    discard(id, entry)
    removed = removed + 1
end

if epoch and left > 0 and (epoch.oldest < epoch.generation or #epoch.ends > 0) then
    bury_what_epochs_ended()
end
local upto = '[' .. now .. '\255'
while left > 0 do
    local due = call('ZRANGE', due_index(), '-', upto, 'BYLEX', 'LIMIT', 0, left)
    if #due == 0 then
        break
    end
    for _, one in ipairs(due) do
        clear(one)
    end
end
if left > 0 then
    for _, one in ipairs(call('ZRANGE', retired_index(), '-', upto, 'BYLEX', 'LIMIT', 0, left)) do
        local name = key('record', sub(one, 9))
        local record = call('GET', name)
        if record and byte(record, 1) == 82 then
            call('DEL', name)
        end
        call('ZREM', retired_index(), one)
        left, removed = left - 1, removed + 1
    end
end

local more = left > 0 and mend() and 1 or 0
if left <= 0 then
    more = more + call('ZLEXCOUNT', due_index(), '-', upto) + call('ZLEXCOUNT', retired_index(), '-', upto)
    if epoch then
        local index, before = live_index(epoch.generation), issued_before(epoch)
        more = more + call('ZLEXCOUNT', index, '[a', '(a' .. before) + call('ZLEXCOUNT', index, '[p', '(p' .. before)
        for generation = epoch.oldest, epoch.generation - 1 do
            more = more + call('ZCARD', live_index(generation))
        end
    end
end
return { 'done', removed, more, buried }
