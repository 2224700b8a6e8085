-- How a quota is shared, for Redis: the same decision as algorithm.py, room.py and state.py, name by name; a test holds
-- the two to each other. All numbers are whole and below 2^53. An absent limit is -1.
--
-- KEYS[1]: the quota. ARGV[1]: the ask as JSON. ARGV[2]: milliseconds to be taken for the time, or '' for the server's.

local VALUES = cjson.decode(ARGV[1])
local SLOT_MS, WINDOW_MS, DAY_MS, SLOTS_PER_DAY_SLOT = 200, 60000, 86400000, 1440
local MARGIN_MS, LEASE_MS, DEMAND_MS, STEP_BACK_MS = 1000, 10000, 2000, 1000
local LONGEST_RETRY_MS, SHARED_RETRY_MS, SHORTEST_RETRY_MS = 250, 100, 20
local HOT_PER_COLD, WHOLE = 9, 1000000
local KEPT_MS = DAY_MS + SLOT_MS * SLOTS_PER_DAY_SLOT + MARGIN_MS
local HOT, COLD = 1, 2
local SEEN, HELD, CALLS, UNITS, SERVED = 1, 2, 2, 4, 6 -- the last three and HOT or COLD
local TOLD_AT, REMAINING, RETURNS, RESET, SPENT = 1, 2, 3, 4, 5
local AT_ONCE = 6

local owner_name, limits, burst_ms, runs, left, ahead_run, in_use, corrections, pause_ms, told_now, leaving =
    VALUES[1], VALUES[2], VALUES[3], {VALUES[4], VALUES[5]}, {VALUES[6], VALUES[7]}, VALUES[8], VALUES[9], VALUES[10],
    VALUES[11], VALUES[12], VALUES[13]
local windowed = false
for which = 1, 5 do windowed = windowed or limits[which] >= 0 end

local function floor_div(a, b) return math.floor(a / b) end
local function ceil_div(a, b) return -math.floor(-a / b) end
local function amounts(run) return {1, run[2] + run[3], run[2], run[3], 1, 1} end

-- state.py

local function unpacked()
    local packed = redis.call('GET', KEYS[1])
    if packed then return cmsgpack.unpack(packed) end
    local told = {}
    for which = 1, 4 do told[which] = {0, 0, 0, 0, 0} end
    return {last_ms = 0, offset_ms = 0, paused_until_ms = 0, hot_run = 0, slots = {}, days = {}, owners = {}, told = told}
end

local state = unpacked()

local function advance(now_ms)
    local now = now_ms + state.offset_ms
    if now < state.last_ms - STEP_BACK_MS then state.offset_ms = state.offset_ms + state.last_ms - now end
    state.last_ms = math.max(state.last_ms, now)
    return state.last_ms
end

local function from(entries, first)
    local kept = {}
    for _, entry in ipairs(entries) do
        if entry[1] >= first then kept[#kept + 1] = entry end
    end
    return kept
end

local function forget(now)
    state.slots = from(state.slots, floor_div(now - WINDOW_MS - MARGIN_MS, SLOT_MS))
    state.days = from(state.days, floor_div(now - DAY_MS - MARGIN_MS, SLOT_MS * SLOTS_PER_DAY_SLOT))
    for name, owner in pairs(state.owners) do
        if now - owner[SEEN] > LEASE_MS then state.owners[name] = nil end
    end
end

local function correct()
    for _, change in ipairs(corrections) do
        for _, slot in ipairs(state.slots) do
            if slot[1] == change[1] then
                for which = 2, 4 do slot[which] = math.max(0, slot[which] + change[which]) end
            end
        end
        for _, day in ipairs(state.days) do
            if day[1] == floor_div(change[1], SLOTS_PER_DAY_SLOT) then day[2] = math.max(0, day[2] + change[2]) end
        end
    end
end

local function hear(now)
    if pause_ms > 0 then state.paused_until_ms = math.max(state.paused_until_ms, now + pause_ms) end
    for _, word in ipairs(told_now) do
        state.told[word[1] + 1] = {now, word[2], math.max(0, word[3] - word[2]), word[4], 0}
    end
end

local function count(now, requests, input_tokens, output_tokens)
    if requests == 0 then return end
    local number = floor_div(now, SLOT_MS)
    local slots, days = state.slots, state.days
    if #slots == 0 or slots[#slots][1] ~= number then slots[#slots + 1] = {number, 0, 0, 0} end
    local slot = slots[#slots]
    slot[2], slot[3], slot[4] = slot[2] + requests, slot[3] + input_tokens, slot[4] + output_tokens
    local day = floor_div(number, SLOTS_PER_DAY_SLOT)
    if #days == 0 or days[#days][1] ~= day then days[#days + 1] = {day, 0} end
    days[#days][2] = days[#days][2] + requests
    local spent = {requests, input_tokens + output_tokens, input_tokens, output_tokens}
    for which = 1, 4 do state.told[which][SPENT] = state.told[which][SPENT] + spent[which] end
end

-- room.py

local now
local free, lately, most_lately = {}, {0, 0, 0, 0}, {}
local last_second, held = 0, 0

local function told_left(which)
    local told = state.told[which]
    local since = now - told[TOLD_AT]
    if since >= told[RESET] then return nil end
    return told[REMAINING] + floor_div(told[RETURNS] * since, told[RESET]) - told[SPENT]
end

local function read_room()
    local taken = {0, 0, 0, 0, 0, in_use}
    for _, slot in ipairs(state.slots) do
        local begins = slot[1] * SLOT_MS
        local of_slot = {slot[2], slot[3] + slot[4], slot[3], slot[4]}
        for which = 1, 4 do
            taken[which] = taken[which] + of_slot[which]
            if begins + burst_ms > now then lately[which] = lately[which] + of_slot[which] end
        end
        if begins + 1000 > now then last_second = last_second + slot[2] end
    end
    for _, day in ipairs(state.days) do taken[5] = taken[5] + day[2] end
    for _, owner in pairs(state.owners) do held = held + owner[HELD] end
    taken[AT_ONCE] = taken[AT_ONCE] + held
    for which = 1, AT_ONCE do
        if limits[which] >= 0 then free[which] = limits[which] - taken[which] end
    end
    for which = 1, 4 do
        if limits[which] >= 0 then most_lately[which] = ceil_div(limits[which] * burst_ms * 5, WINDOW_MS * 4) end
        local rest = told_left(which)
        if rest then free[which] = free[which] and math.min(free[which], rest) or rest end
    end
end

local function lacks_window(need, last)
    for which = 1, last do
        if free[which] and need[which] > free[which] then return true end
    end
    return false
end

local function lacks_burst(need)
    for which = 1, 4 do
        if most_lately[which] and lately[which] ~= 0 and lately[which] + need[which] > most_lately[which] then return true end
    end
    return false
end

local function fits(need) return not lacks_window(need, AT_ONCE) and not lacks_burst(need) end

local function how_many(need, most)
    for which = 1, AT_ONCE do
        if free[which] and need[which] > 0 then
            most = math.min(most, floor_div(math.max(0, free[which]), need[which]))
        end
    end
    for which = 1, 4 do
        if most_lately[which] and need[which] > 0 then
            local at_least = lately[which] == 0 and 1 or 0
            local fitting = floor_div(math.max(0, most_lately[which] - lately[which]), need[which])
            most = math.min(most, math.max(fitting, at_least))
        end
    end
    return most
end

local function take_room(need, times)
    for which = 1, AT_ONCE do
        if free[which] then free[which] = free[which] - need[which] * times end
        if which <= 4 then lately[which] = lately[which] + need[which] * times end
    end
end

local function units_of(need)
    local most = 1
    for which = 1, 5 do
        if limits[which] >= 0 then most = math.max(most, ceil_div(need[which] * WHOLE, limits[which])) end
    end
    return most
end

local function free_units()
    local least = WHOLE * WHOLE
    for which = 1, 5 do
        if limits[which] >= 0 then
            local rest = free[which]
            if most_lately[which] then rest = math.min(rest, most_lately[which] - lately[which]) end
            least = math.min(least, floor_div(math.max(0, rest) * WHOLE, limits[which]))
        end
    end
    return least
end

local function wait_ms(need, otherwise)
    local wait = otherwise
    if #state.slots > 0 and lacks_window(need, 4) then
        wait = (state.slots[1][1] + 1) * SLOT_MS + WINDOW_MS + MARGIN_MS - now
    elseif lacks_burst(need) then
        for _, slot in ipairs(state.slots) do
            local ends = slot[1] * SLOT_MS + burst_ms - now
            if ends > 0 then
                wait = ends
                break
            end
        end
    end
    return math.max(SHORTEST_RETRY_MS, math.min(LONGEST_RETRY_MS, wait))
end

-- algorithm.py

local function fair_share(room, served, wanted, others)
    local all, highest = wanted, served
    for _, other in ipairs(others) do
        all = all + other[2]
        highest = math.max(highest, other[1])
    end
    if all <= room then return wanted end
    local low, high = 0, highest + room
    while low < high do
        local level = floor_div(low + high + 1, 2)
        local filled = math.min(wanted, math.max(0, level - served))
        for _, other in ipairs(others) do filled = filled + math.min(other[2], math.max(0, level - other[1])) end
        if filled <= room then low = level else high = level - 1 end
    end
    return math.min(wanted, math.max(0, low - served))
end

local position, granted, spent, total = {{1, 0}, {1, 0}}, {0, 0}, {0, 0}, {0, 0, 0}
local present, others, served, share = {}, {{}, {}}, {}, {}
local contended = false

local function waits(kind) return left[kind] > 0 or #others[kind] > 0 end
local function using() return in_use + granted[HOT] + granted[COLD] end

local function units_wanted(kind)
    local listed, units = 0, 0
    for _, run in ipairs(runs[kind]) do
        listed = listed + run[1]
        units = units + run[1] * units_of(amounts(run))
    end
    if listed == 0 then return 0 end
    return floor_div(units * left[kind], listed)
end

local function read_others(me)
    for _, owner in pairs(state.owners) do
        if now - owner[SEEN] <= DEMAND_MS then
            present[#present + 1] = owner
            contended = contended or owner[CALLS + HOT] + owner[CALLS + COLD] > 0
            for kind = HOT, COLD do
                if owner[UNITS + kind] > 0 then
                    others[kind][#others[kind] + 1] = {owner[SERVED + kind], owner[UNITS + kind]}
                end
            end
        end
    end
    for kind = HOT, COLD do
        served[kind] = me[SERVED + kind]
        if me[UNITS + kind] == 0 and #others[kind] > 0 then
            local least = others[kind][1][1]
            for _, other in ipairs(others[kind]) do least = math.min(least, other[1]) end
            served[kind] = math.max(served[kind], least)
        end
    end
end

local function share_out()
    local room = free_units()
    local hot, cold = units_wanted(HOT), units_wanted(COLD)
    local beyond_hot = room - hot
    for _, other in ipairs(others[HOT]) do beyond_hot = beyond_hot - other[2] end
    share[HOT] = fair_share(room, served[HOT], hot, others[HOT])
    share[COLD] = fair_share(math.max(0, beyond_hot), served[COLD], cold, others[COLD])
end

local function fair_at_once(kind)
    local most = limits[AT_ONCE]
    local hot, cold, of_waiting, beyond_hot = {}, {}, 0, 0
    for _, owner in ipairs(present) do
        local calls = owner[CALLS + HOT] + owner[CALLS + COLD]
        if calls > 0 then
            of_waiting = of_waiting + owner[HELD]
            if owner[CALLS + HOT] > 0 then
                hot[#hot + 1] = {0, owner[HELD] + owner[CALLS + HOT]}
                beyond_hot = beyond_hot - hot[#hot][2]
            else
                cold[#cold + 1] = {0, owner[HELD] + owner[CALLS + COLD]}
            end
        end
    end
    local room = most - (held - of_waiting)
    local mine = using() + left[kind]
    if kind == HOT then
        local of_hot = most
        if #cold > 0 or left[COLD] > 0 then of_hot = floor_div(most * HOT_PER_COLD, HOT_PER_COLD + 1) end
        return fair_share(math.max(0, math.min(room, of_hot)), 0, mine, hot)
    end
    local tenth = math.min(room, floor_div(most, HOT_PER_COLD + 1))
    return fair_share(math.max(0, room + beyond_hot, tenth), 0, mine, cold)
end

local function may_hold_another(kind, in_turn)
    if limits[AT_ONCE] < 0 or not contended then return true end
    local spare = fair_at_once(kind) - using()
    return spare > 0 or (spare == 0 and in_turn)
end

local function cold_is_due()
    local allowance = math.max(1, floor_div(last_second, 50))
    return waits(COLD) and state.hot_run >= HOT_PER_COLD * allowance
end

local function next_need(kind)
    local run = runs[kind][position[kind][1]]
    return run and amounts(run)
end

local function may(kind)
    local need = next_need(kind)
    if not need or not fits(need) then return false end
    local after, behind = spent[kind] + units_of(need), true
    for _, other in ipairs(others[kind]) do behind = behind and served[kind] + spent[kind] <= other[1] end
    local due = kind == HOT or not waits(HOT) or state.hot_run >= HOT_PER_COLD
    if not may_hold_another(kind, behind and due) then return false end
    if kind == HOT and cold_is_due() then return false end
    return after <= share[kind] or (behind and due)
end

local function turn()
    if state.hot_run >= HOT_PER_COLD and may(COLD) then return COLD end
    if may(HOT) then return HOT end
    return may(COLD) and COLD or nil
end

local function grant(run, times)
    take_room(amounts(run), times)
    total[1], total[2], total[3] = total[1] + times, total[2] + run[2] * times, total[3] + run[3] * times
end

local function in_a_row(kind)
    if contended or left[3 - kind] > 0 then return 1 end
    local run = runs[kind][position[kind][1]]
    return math.max(1, how_many(amounts(run), run[1] - position[kind][2]))
end

local function take(kind, times)
    local at = position[kind]
    local run = runs[kind][at[1]]
    at[2] = at[2] + times
    if at[2] >= run[1] then position[kind] = {at[1] + 1, 0} end
    spent[kind] = spent[kind] + times * units_of(amounts(run))
    granted[kind] = granted[kind] + times
    left[kind] = math.max(0, left[kind] - times)
    grant(run, times)
    if kind == COLD then
        state.hot_run = math.max(0, state.hot_run - HOT_PER_COLD)
    elseif waits(COLD) then
        state.hot_run = state.hot_run + 1
    end
end

local function look_ahead()
    if contended or left[HOT] > 0 or left[COLD] > 0 then return 0 end
    local times = how_many(amounts(ahead_run), ahead_run[1])
    grant(ahead_run, times)
    return times
end

local function kept()
    local most = limits[AT_ONCE]
    if most < 0 then return -1 end
    local wanted = using() + left[HOT] + left[COLD] + ahead_run[1]
    if contended then
        local kind = left[HOT] > 0 and HOT or COLD
        wanted = left[kind] > 0 and fair_at_once(kind) or 0
    end
    return math.max(0, math.min(most - held, wanted))
end

local function retry_ms()
    local need = next_need(HOT) or next_need(COLD)
    if not need then return left[HOT] + left[COLD] > 0 and SHORTEST_RETRY_MS or LONGEST_RETRY_MS end
    return wait_ms(need, contended and SHARED_RETRY_MS or LONGEST_RETRY_MS)
end

local function played(me)
    read_room()
    read_others(me)
    share_out()
    local paused_ms, ahead = math.max(0, state.paused_until_ms - now), 0
    if paused_ms == 0 then
        local kind = turn()
        while kind do
            take(kind, in_a_row(kind))
            kind = turn()
        end
        ahead = look_ahead()
    end
    if not waits(COLD) then state.hot_run = 0 end
    if windowed then count(now, total[1], total[2], total[3]) end
    local keep = kept()
    state.owners[owner_name] = {
        now, math.max(using() + ahead, keep), left[HOT], left[COLD],
        left[HOT] > 0 and units_wanted(HOT) or 0, left[COLD] > 0 and units_wanted(COLD) or 0,
        served[HOT] + spent[HOT], served[COLD] + spent[COLD],
    }
    local again_ms = math.min(LONGEST_RETRY_MS, paused_ms > 0 and paused_ms or retry_ms())
    return {granted[HOT], granted[COLD], ahead, floor_div(now, SLOT_MS), keep, again_ms, paused_ms, contended and 1 or 0}
end

local function decided()
    local time = ARGV[2] == '' and redis.call('TIME') or nil
    now = advance(time and time[1] * 1000 + floor_div(time[2], 1000) or tonumber(ARGV[2]))
    forget(now)
    correct()
    hear(now)
    local me = state.owners[owner_name] or {0, 0, 0, 0, 0, 0, 0, 0}
    state.owners[owner_name] = nil
    if leaving then return {0, 0, 0, floor_div(now, SLOT_MS), -1, LONGEST_RETRY_MS, 0, 0} end
    return played(me)
end

local answer = decided()
redis.call('SET', KEYS[1], cmsgpack.pack(state), 'PX', KEPT_MS)
return answer
