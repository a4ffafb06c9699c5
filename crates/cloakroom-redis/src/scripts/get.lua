-- ARGV[3]  digest

local record, entry, listed = look(ARGV[3])
return { record, entry, listed, entry and call('GET', KEYS[1]) }
