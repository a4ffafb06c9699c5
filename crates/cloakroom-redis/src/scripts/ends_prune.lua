-- Removes entries that are over, by the caller's clock and by this server's; answers how many.
--
-- ARGV[3] now        [4] most to remove

local now, limit = ARGV[3], tonumber(ARGV[4])
-- One node whose clock is ahead must not make everybody forget.
local time = call('TIME')
local own = time[1] * 1000 + math.floor(time[2] / 1000)
local high, low = unpack('>I4I4', now)
if (high - 2147483648) * 4294967296 + low > own then
    now = pack('>I4I4', 2147483648 + math.floor(own / 4294967296), own % 4294967296)
end
local last = newest()
-- It is the place of everybody who has read everything, and what numbers go on from.
local spared = last and sub(last, 2, 9)
local removed = 0
for _, due in ipairs(call('ZRANGE', list, '[U', '[U' .. now .. '\255', 'BYLEX', 'LIMIT', 0, limit + 1)) do
    local number = sub(due, 10)
    if number ~= spared and removed < limit then
        local entry = call('ZRANGE', list, '[L' .. number, '(M', 'BYLEX', 'LIMIT', 0, 1)[1]
        -- What an operator removed by hand leaves its mark here.
        if entry and sub(entry, 2, 9) == number then
            call('ZREM', list, entry, due)
        else
            call('ZREM', list, due)
        end
        removed = removed + 1
    end
end
return removed
