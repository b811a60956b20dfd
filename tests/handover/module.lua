-- The library in a stock Lua: lua5.4 with attn.so on LUA_CPATH.
local attn = require "attn"
local x = attn.ones(2, 3):requires_grad_(true)
x:matmul(attn.ones(3, 2)):sum():backward()
local batches = require "attn.data".batches{fields = {a = {1, 2, 3}}, size = 2}
local ok, why = pcall(function() return attn.ones(2) + attn.ones(3) end)
print(x.grad:sum():item(), #batches, ok, why)
