-- help_stubs: LuaLS annotations of everything documented: `attn help --stubs`

return function(all, whole, sorted)
    print("---@meta\n\n---@class attn.Tensor\n---@operator add(attn.Tensor|number): attn.Tensor\n---@operator sub(attn.Tensor|number): "
        .. "attn.Tensor\n---@operator mul(attn.Tensor|number): attn.Tensor\n---@operator div(attn.Tensor|number): attn.Tensor\n"
        .. "---@field shape integer[]\n---@field dtype string\n---@field grad attn.Tensor?\nlocal tensor = {}\n\nlocal attn = {}")
    local made, holds = {}, {}      -- holds: names that others stand under: of a module that is called too
    for name in pairs(all) do
        for at in name:gmatch("()%.") do holds[name:sub(1, at - 1)] = true end
    end
    for _, name in ipairs(sorted(all)) do
        local class = name:match("^(%w+):")
        if class and not made[class .. ":"] and class ~= "tensor" then
            made[class .. ":"] = true
            print(("\n---@class attn.%s\nlocal %s = {}"):format(class:gsub("^%l", string.upper), class))
        end
        for table_path in name:gmatch("()%.") do
            local prefix = name:sub(1, table_path - 1)
            if not made[prefix] then
                made[prefix] = true
                print("attn." .. prefix .. " = attn." .. prefix .. " or {}")
            end
        end
        print("\n---" .. (all[name].signature .. "\n" .. whole(all[name])):gsub("%s+$", ""):gsub("\n", "\n---"))
        if holds[name] then
            print(("attn.%s = setmetatable({}, {__call = function(_, ...) end})"):format(name))
        else
            print("function " .. (class and "" or "attn.") .. name .. "(...) end")
        end
    end
    print("\nreturn attn")
end
