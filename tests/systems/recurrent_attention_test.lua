-- Recurrent attention (Mnih et al. 2014) on made-up digits: a digit of 4 x 4 pixels, half of them on, somewhere in a picture
-- of 24 x 24. The model sees it through three glimpses, the first in the middle; they are blurred farther out, which tells
-- where the digit is, hardly which. Where to look next is learned by REINFORCE. 55 lines of code; without glimpse, cell,
-- normal, reinforce and fit the same was 108.
local attn, t = require "attn", require "attn.test"
local fit = require "attn.fit"

local DIGITS = attn.tensor{                                          -- [classes, 16]
    {0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0}, {0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0},
    {1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1}, {0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0}}
local SIDE, GLIMPSES = 6, 3                                         -- of the picture, in digits

local function pictures(B)                                          -- [B, 1, 24, 24], classes [B]
    local class, place = attn.randint(1, #DIGITS, B), attn.randint(1, SIDE * SIDE, B)
    local x = place:one_hot(SIDE * SIDE):unsqueeze(3) * DIGITS[class]:unsqueeze(2) * 6
    return x:view(B, SIDE, SIDE, 4, 4):permute(1, 2, 4, 3, 5):reshape(B, 1, 4 * SIDE, 4 * SIDE), class
end

local Glimpses = attn.module "Glimpses"
function Glimpses:init(D)
    self.what = attn.layer.linear{inputs = 3 * 6 * 6, outputs = D}
    self.where = attn.layer.linear{inputs = 2, outputs = D, bias = false}
    self.cell = attn.layer.cell{inputs = D, hidden = D}
    self.place = attn.layer.linear{inputs = D, outputs = 2}
    self.worth = attn.layer.linear{inputs = D, outputs = 1}
    self.class = attn.layer.linear{inputs = D, outputs = #DIGITS}
end

-- Logits [B, classes]; of each place chosen the log-probability and the reward expected, [B, glimpses - 1].
function Glimpses:forward(x)
    local at, h, logp, worth = attn.zeros(x:size(1), 2), nil, {}, {}
    for k = 1, GLIMPSES do
        local seen = attn.glimpse(x, at, {size = 6, scales = 3}):flatten(2, 5)
        h = self.cell((self.what(seen) + self.where(at)):relu(), h)
        if k < GLIMPSES then
            local known = h:detach()
            local places = attn.dist.normal{mean = self.place(known):tanh(), std = 0.3}
            at = self.training and places:sample() or places.mean:detach()
            logp[k], worth[k] = places:log_prob(at):sum(2), self.worth(known):squeeze(2)
        end
    end
    return self.class(h), attn.stack(logp, 2), attn.stack(worth, 2)
end

local reinforce = attn.estimate.reinforce{baseline = "learned"}
local function loss(model, x, class)
    local logits, logp, worth = model(x)
    local reward = logits:argmax(2):eq(class):to "float32":unsqueeze(2):expand(logp.shape)
    return attn.loss.cross_entropy(logits, class) + reinforce(logp, reward, worth)
end

t.case("recurrent attention learns where to look, and reads what it sees there", function()
    attn.seed(1)
    local model, x, class = Glimpses(48), pictures(400)
    fit{model = model, steps = 800, lr = 3e-3, batches = function() return {pictures(192)} end,
        loss = function(batch) return loss(model, batch[1], batch[2]) end}
    model:eval()
    local function accuracy() return (attn.metric.accuracy(attn.no_grad(model, x), class)) end
    local right = accuracy()
    t.is_true(right > 0.7, right)
    attn.no_grad(function()             -- all looks in the middle
        model.place.weight:fill_(0)
        model.place.bias:fill_(0)
    end)
    t.is_true(right > accuracy() + 0.15, ("%.2f right, %.2f without the places"):format(right, accuracy()))
end)
