-- How many sessions there are: live ones of nobody, live ones of a principal, and what is left of ended ones.

local epoch = read_epoch()
local anonymous, signed_in = 0, 0
if epoch then
    local index, from = live_index(epoch.generation), issued_before(epoch)
    anonymous = call('ZLEXCOUNT', index, '[a' .. from, '(b')
    signed_in = call('ZLEXCOUNT', index, '[p' .. from, '(q')
end
return { anonymous, signed_in, call('ZCARD', ended_index()) }
