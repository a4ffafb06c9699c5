
-- ARGV[3]  digest

local record, entry, listed, epoch = look(ARGV[3])
return { record, entry, listed, epoch }
