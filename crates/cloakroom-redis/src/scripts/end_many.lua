-- Ends everything, or everything issued before an instant: an epoch that every look-up compares with.
--
-- ARGV[3]  now            [4] reason        [5] the instant, or ''          [6] an incarnation never used before

local now, reason, instant = ARGV[3], ARGV[4], ARGV[5]
-- It is remembered also where nothing lives: whoever comes later may be among those meant.
local epoch = read_epoch() or new_epoch(ARGV[6])
local over_before = issued_before(epoch)
-- What an earlier call said of a later instant holds already.
if instant ~= '' and not less(over_before, instant) then
    return 0
end

local ended = 0
local index = live_index(epoch.generation)
for _, kind in ipairs({ 'a', 'p' }) do
    local upto = instant == '' and '(' .. string.char(byte(kind) + 1) or '(' .. kind .. instant
    ended = ended + call('ZLEXCOUNT', index, '[' .. kind .. over_before, upto)
end

local scope = instant == '' and 'A' or 'B'
if #epoch.ends >= 32 then
    -- Look-ups stay cheap however often everything is ended between two sweeps. Only what the new one ends as well is
    -- forgotten for it: a dead session may change its reason then, never its state.
    for at, one in ipairs(epoch.ends) do
        if one.scope == scope and (scope == 'A' or not less(instant, one.instant)) then
            table.remove(epoch.ends, at)
            break
        end
    end
end
if scope == 'A' then
    epoch.generation = epoch.generation + 1
    if epoch.all_reason == '' or less(epoch.all_ended_at, now) then
        epoch.all_ended_at, epoch.all_reason = now, reason
    end
end
epoch.ends[#epoch.ends + 1] = {
    scope = scope,
    number = epoch.generation,
    instant = instant == '' and FIRST_INSTANT or instant,
    ended_at = now,
    reason = reason,
}
write_epoch(epoch)
return ended
