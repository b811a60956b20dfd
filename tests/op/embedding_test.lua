local attn, t = require "attn", require "attn.test"

local function ids(list) return attn.tensor(list, {dtype = "int64"}) end

t.case("rows by id, zeros for padding", function()
    local w = attn.tensor{{1, 2}, {3, 4}, {5, 6}}
    t.equal(attn.embedding(ids{{3, 0}, {1, 3}}, w), {{{5, 6}, {0, 0}}, {{1, 2}, {5, 6}}})
    t.equal(attn.embedding(ids{{1, 2}, {3, 0}}:transpose(1, 2), w)[1], {{1, 2}, {5, 6}})
    t.equal(attn.embedding(attn.zeros(0, {dtype = "int64"}), w).shape, {0, 2})
end)

t.case("gradients add up by row, padding gives none", function()
    local w = attn.zeros(4, 2):requires_grad_(true)
    local y = attn.embedding(ids{2, 0, 4, 2}, w);
    (y * attn.tensor{{1, 1}, {7, 7}, {2, 3}, {10, 20}}):sum():backward()
    t.equal(w.grad, {{0, 0}, {11, 21}, {0, 0}, {2, 3}})
    attn.embedding(ids{1}, w):sum():backward()
    t.equal(w.grad, {{1, 1}, {11, 21}, {0, 0}, {2, 3}})
end)

t.case("a large scatter equals the sum one by one", function()
    local w, n = attn.zeros(50, 3, {dtype = "float64"}):requires_grad_(true), 4000
    local list, dy = attn.randint(0, 50, n), attn.randn(n, 3, {dtype = "float64"});
    (attn.embedding(list, w) * dy):sum():backward()
    local want, places, rows = attn.zeros(50, 3):totable(), list:totable(), dy:totable()
    for i = 1, n do
        for d = 1, 3 do if places[i] > 0 then want[places[i]][d] = want[places[i]][d] + rows[i][d] end end
    end
    t.near(w.grad, want, 1e-12)
end)

t.case("errors name the id", function()
    local w = attn.zeros(4, 2)
    t.raises("embedding: id 5 is out of range, ids are 1..4, 0 is padding (ids: int64 [2])", attn.embedding, ids{1, 5},
             w)
    t.raises("embedding: id -1 is out of range", attn.embedding, ids{-1}, w)
    t.raises("embedding: ids is float32, expected int64", attn.embedding, attn.zeros(2), w)
    t.raises("embedding: weight has 1 dimensions, expected [V, D]", attn.embedding, ids{1}, attn.zeros(4))
end)
