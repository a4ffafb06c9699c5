-- How much there is to clear up in one bucket, and how many places of its indexes went astray.
--
-- ARGV[3]  now

local epoch = read_epoch()
local upto = '[' .. ARGV[3] .. '\255'
local due = call('ZLEXCOUNT', due_index(), '-', upto) + call('ZLEXCOUNT', retired_index(), '-', upto)
if epoch then
    local index, before = live_index(epoch.generation), issued_before(epoch)
    due = due + call('ZLEXCOUNT', index, '[a', '(a' .. before) + call('ZLEXCOUNT', index, '[p', '(p' .. before)
    for generation = epoch.oldest, epoch.generation - 1 do
        due = due + math.max(call('ZCARD', live_index(generation)), 1)
    end
end
return { due, math.abs(astray(epoch)) }
