-- A part of a list: from each index concerned, the next places from the latest issued to the first.
--
-- ARGV[3]  the id of one session, or ''     [4] principal, or ''             [5] 'live', 'ended' or 'any'
-- ARGV[6]  issued from, or ''               [7] places below this one (or issued before this instant), or ''
-- ARGV[8]  how many places of each index    [9] the address it was issued to, or ''
-- Answers the epoch, then of each index: the place of the last entry looked at, or '' where that was its end; then the
-- sessions.

local principal, state, from, below, take, address = ARGV[4], ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[9]
local epoch = read_epoch()
local answer = { call('GET', KEYS[1]) }

local function is_issued_to(record)
    if address == '' then
        return true
    end
    if not is_live_form(record) then
        return false
    end
    local at = 94 + unpack('>I2', record, 92)
    return sub(record, at + 1, at + (byte(record, at) or 0)) == address
end

local function found(id)
    local entry = call('GET', key('session', 'ses_' .. text_of(id)))
    if entry and #entry == 62 then
        local record, same, listed = look(sub(entry, 1, 46))
        if record and is_issued_to(record) then
            return { record, same, listed }
        end
    end
end

local function scan(index, kind, lowest)
    local highest = below == '' and '[' .. kind .. '\255\255\255\255\255\255\255\255\255' or '(' .. kind .. below
    local members = call('ZRANGE', index, highest, '[' .. kind .. lowest, 'BYLEX', 'REV', 'LIMIT', 0, take)
    local part = { '' }
    if #members == take then
        part[1] = sub(members[take], #kind + 1, #kind + 24)
    end
    for _, member in ipairs(members) do
        part[#part + 1] = found(sub(member, #kind + 9, #kind + 24))
    end
    answer[#answer + 1] = part
end

if ARGV[3] ~= '' then
    answer[2] = { '', found(ARGV[3]) }
    return answer
end
if state ~= 'ended' and epoch then
    local lowest = issued_before(epoch)
    if less(lowest, from) then
        lowest = from
    end
    if principal ~= '' then
        scan(key('principal', principal), 'L', lowest)
    else
        scan(live_index(epoch.generation), 'a', lowest)
        scan(live_index(epoch.generation), 'p', lowest)
    end
end
if state ~= 'live' and address == '' then
    if principal ~= '' then
        scan(key('principal', principal), 'E', from)
    else
        scan(ended_index(), '', from)
    end
end
return answer
