-- A page of everything that is filed in one bucket: first sessions and what is left of them, by instant of issue and id,
-- which never change; then retired tokens, by the instant until which they are kept, which never changes either.
--
-- ARGV[3]  'p' for sessions, 'r' for retired tokens           [4] the place after which to go on, or ''
-- ARGV[5]  most to tell
-- Answers the epoch, then where to go on ('p' or 'r' and a place; '' at the end), then of each: its digest, record,
-- entry, whether it is among those of its principal, and until when it is kept where its record is a retired one's.

local phase, after, left = ARGV[3], ARGV[4], tonumber(ARGV[5])
local epoch = read_epoch()
local answer = { call('GET', KEYS[1]), '' }

local function next_of(index, kind)
    local from = after == '' and '[' .. kind or '(' .. kind .. after
    return call('ZRANGE', index, from, '[' .. kind .. '\255\255\255\255\255\255\255\255\255', 'BYLEX', 'LIMIT', 0, left)
end

if phase == 'p' then
    local places = {}
    for _, member in ipairs(next_of(ended_index(), '')) do
        places[#places + 1] = member
    end
    for generation = epoch and epoch.oldest or 0, epoch and epoch.generation or 0 do
        for _, kind in ipairs({ 'a', 'p' }) do
            for _, member in ipairs(next_of(live_index(generation), kind)) do
                places[#places + 1] = sub(member, 2)
            end
        end
    end
    table.sort(places, less)
    local told = math.min(#places, left)
    for at = 1, told do
        local entry = call('GET', key('session', 'ses_' .. text_of(sub(places[at], 9, 24))))
        if entry and #entry == 62 then
            local digest = sub(entry, 1, 46)
            local record, _, listed = look(digest)
            answer[#answer + 1] = { digest, record, entry, listed }
        end
    end
    if told == left then
        answer[2] = 'p' .. places[told]
        return answer
    end
    left, after = left - told, ''
end
local members = next_of(retired_index(), '')
for _, member in ipairs(members) do
    local digest = sub(member, 9)
    answer[#answer + 1] = { digest, call('GET', key('record', digest)), false, false, sub(member, 1, 8) }
end
if #members == left then
    answer[2] = 'r' .. members[left]
end
return answer
