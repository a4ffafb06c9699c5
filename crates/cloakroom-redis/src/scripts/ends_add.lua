-- Adds entries, all or none.
--
-- ARGV[3] until, ARGV[4] nonce and entry; ARGV[5], ARGV[6] of the next; and so on.

-- Numbers do not begin at one. A list that is begun anew goes on behind whatever numbers it had before, by the clock; so
-- does one that a replica continues which had not heard of the latest. Where the clock is behind, by counting. Whole numbers
-- of doubles are exact up to 2^53; a clock that is beyond half of that, in the year 2112, is wrong.
local LAST = 9007199254740992
local last = newest()
local number = last and unpack('>I8', last, 2) or 0
local time = call('TIME')
local micros = time[1] * 1000000 + time[2]
if micros > number and micros < LAST / 2 then
    number = micros
end
if number + #ARGV > LAST then
    return redis.error_reply('ERR the list of ends has no numbers left')
end
for at = 3, #ARGV, 2 do
    number = number + 1
    local packed = pack('>I8', number)
    call('ZADD', list, 0, 'L' .. packed .. ARGV[at + 1], 0, 'U' .. ARGV[at] .. packed)
end
return number
