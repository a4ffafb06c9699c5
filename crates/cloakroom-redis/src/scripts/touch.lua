-- ARGV[3]  now, then of each touch: digest, instant of activity

local now = ARGV[3]
local epoch = read_epoch()
local moved, touched, ignored = {}, 0, 0
for at = 4, #ARGV, 2 do
    local digest = ARGV[at]
    local record, entry, listed = look(digest)
    if is_live_form(record) and not listed then
        -- Unknown to everybody who asks, since another of its keys is lost: those who kept a copy learn of it by this.
        call('DEL', key('record', digest))
    end
    local session = epoch and listed and fill(open(record), entry)
    local seen_at = session and earlier(ARGV[at + 1], session.absolute_at)
    if session and less(session.seen_at, seen_at) and is_of(epoch, session) and not over(epoch, session, now) then
        call('SETRANGE', key('session', 'ses_' .. session.text), 46, seen_at)
        if not moved[digest] then
            moved[digest] = true
            touched = touched + 1
        end
    else
        ignored = ignored + 1
    end
end
return { touched, ignored }
