-- What follows a place.
--
-- ARGV[3] number and nonce of the last entry that was read, or ''       [4] most entries to answer
-- Answers 'lost', or 'entries', whether there are more, and the members.

local place, limit = ARGV[3], tonumber(ARGV[4])
-- The entry at the place comes first, if the place is one of this list's: the bytes of its member begin with it.
local own = place == '' and 0 or 1
local found = call('ZRANGE', list, '[L' .. place, '(M', 'BYLEX', 'LIMIT', 0, own + limit + 1)
if own == 1 then
    if not found[1] or sub(found[1], 2, 17) ~= place then
        return { 'lost' }
    end
    table.remove(found, 1)
end
local more = #found > limit
if more then
    found[#found] = nil
end
return { 'entries', more and 1 or 0, found }
