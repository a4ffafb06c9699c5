-- How a round of clearing up in one bucket begins: whether it is this node's, and what it keeps account of.
--
-- ARGV[3]  now            [4] most to look at
-- ARGV[5]  who asks       [6] until when nobody else needs to, or ''       [7] the same as a duration

local now, left = ARGV[3], tonumber(ARGV[4])
local holder, lease_until = ARGV[5], ARGV[6]
if lease_until ~= '' then
    local held = call('GET', key('sweeper', 'lease'))
    local held_until = held and sub(held, 17, 24)
    -- A lease that ends later than one taken now would is from a clock that was ahead: it binds nobody.
    if held and sub(held, 1, 16) ~= holder and less(now, held_until) and not less(lease_until, held_until) then
        return { 'elsewhere' }
    end
    call('SET', key('sweeper', 'lease'), holder .. lease_until, 'PX', milliseconds(ARGV[7]))
end

local epoch = read_epoch()
-- What a round comes to: what was removed, and whom it buried.
local removed, buried = 0, {}
