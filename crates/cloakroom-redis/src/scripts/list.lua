-- A part of a list: from each index concerned, the next places in the order of the list.
--
-- ARGV[3]  the id of one session, or ''     [4] principal, or ''             [5] 'live', 'ended' or 'any'
-- ARGV[6]  issued from, or ''               [7] issued before, or ''         [8] places behind this one, or ''
-- ARGV[9]  'newest' or 'oldest' first       [10] how many places of each index to look at; of the next one as many more as
--          there were fewer
-- ARGV[11] the address it was issued to, or ''              [12] what the principal begins with, or ''
-- Answers the epoch, then of each index: the place of the last entry looked at, or '' where that was its end; how many
-- entries were looked at; and the sessions.

local principal, state, from, before, after = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local newest_first, each, address, prefix = ARGV[9] == 'newest', tonumber(ARGV[10]), ARGV[11], ARGV[12]
local take = each
local epoch = read_epoch()
local answer = { call('GET', KEYS[1]) }

-- Whether a record is worth looking at more closely. What is left of a session is looked at by whoever asked.
local function may_be_wanted(record)
    if not is_live_form(record) then
        return address == ''
    end
    if prefix ~= '' and sub(principal_of(record), 1, #prefix) ~= prefix then
        return false
    end
    if address == '' then
        return true
    end
    local at = 94 + unpack('>I2', record, 92)
    return sub(record, at + 1, at + (byte(record, at) or 0)) == address
end

local function found(id)
    local entry = call('GET', key('session', 'ses_' .. text_of(id)))
    if not entry or #entry ~= 62 then
        return nil
    end
    local digest = sub(entry, 1, 46)
    if (address ~= '' or prefix ~= '') and not may_be_wanted(call('GET', key('record', digest))) then
        return nil
    end
    local record, same, listed = look(digest)
    if record then
        return { record, same, listed }
    end
end

local function scan(index, kind, lowest)
    local low, high = '[' .. kind .. lowest, '[' .. kind .. '\255\255\255\255\255\255\255\255\255'
    if before ~= '' then
        high = '(' .. kind .. before
    end
    local members
    if newest_first then
        if after ~= '' and (before == '' or less(after, before)) then
            high = '(' .. kind .. after
        end
        members = call('ZRANGE', index, high, low, 'BYLEX', 'REV', 'LIMIT', 0, take)
    else
        if after ~= '' and not less(after, lowest) then
            low = '(' .. kind .. after
        end
        members = call('ZRANGE', index, low, high, 'BYLEX', 'LIMIT', 0, take)
    end
    local part = { '', #members }
    if #members == take then
        part[1] = sub(members[take], #kind + 1, #kind + 24)
    end
    take = each + take - #members
    for _, member in ipairs(members) do
        part[#part + 1] = found(sub(member, #kind + 9, #kind + 24))
    end
    answer[#answer + 1] = part
end

if ARGV[3] ~= '' then
    answer[2] = { '', 1, found(ARGV[3]) }
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
        if prefix == '' then
            scan(live_index(epoch.generation), 'a', lowest)
        end
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
