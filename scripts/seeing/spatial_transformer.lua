-- spatial transformers (D5; Jaderberg, Simonyan, Zisserman and Kavukcuoglu 2015): a small network looks at the picture and says how it is to be
-- sampled, by an attention window, an affine map or a thin-plate spline; the rest sees the sampled picture
--
--     theta = f_loc(U)    (x_s, y_s)' = T_theta(x_t, y_t)    V = sum_nm U_nm max(0, 1 - |x_s - m|) max(0, 1 - |y_s - n|)
--
-- Command    attn scripts/seeing/spatial_transformer.lua [--data DIR]
-- Time       not measured yet
-- Data       MNIST: 8,000 training digits turned by up to 90 degrees, tested on 2,000; synthetic: digits made of seven strokes
-- Found      not run in full yet
-- Your data  local st = require("seeing.spatial_transformer").Transformer{form = "affine", height = 32, width = 32, channels = 3}
--            local straight, theta = st(pictures)                pictures [B, 3, 32, 32] (attn -I scripts)
local attn = require "attn"
local fit, init, study, task = require "attn.fit", require "attn.init", require "attn.study", require "attn.task"
local layer = attn.layer

-- theta of each form, whose last layer begins as the identity: attention (s, x, y), affine [2, 3], spline (how 3 x 3 points move).
local forms = {attention = {1, 0, 0}, affine = {1, 0, 0, 0, 1, 0}, spline = {}}
for k = 1, 18 do forms.spline[k] = 0 end

-- The thin-plate spline that takes nine control points of the output to where they are seen in the input: the places of all pixels are
-- linear in those nine, P = [U(|pixel - control|), 1, x, y] L^-1, U(r) = r^2 log r^2. P [H W, 9], by elimination, once.
local function spline_weights(height, width)
    local control, L = {}, {}
    for y = -1, 1 do
        for x = -1, 1 do control[#control + 1] = {x, y} end
    end
    local function row(x, y)
        local out = {}
        for k, c in ipairs(control) do
            local r = (x - c[1]) ^ 2 + (y - c[2]) ^ 2
            out[k] = r > 0 and r * math.log(r) or 0
        end
        out[10], out[11], out[12] = 1, x, y
        return out
    end
    for i = 1, 12 do                                        -- [K P; P' 0 | identity], solved in place
        local left = i <= 9 and row(control[i][1], control[i][2]) or {}
        for k = 1, 9 do left[k] = left[k] or (i == 10 and 1 or control[k][i - 10]) end
        for k = 1, 12 do left[k], left[12 + k] = left[k] or 0, i == k and 1 or 0 end
        L[i] = left
    end
    for i = 1, 12 do
        local best = i
        for k = i, 12 do best = math.abs(L[k][i]) > math.abs(L[best][i]) and k or best end
        L[i], L[best] = L[best], L[i]
        for k = 1, 12 do
            local by = L[k][i] / L[i][i]
            for j = i, k ~= i and 24 or 0 do L[k][j] = L[k][j] - by * L[i][j] end
        end
    end
    local inverse, rows = {}, {}
    for i = 1, 12 do
        inverse[i] = {}
        for k = 1, 9 do inverse[i][k] = L[i][12 + k] / L[i][i] end
    end
    for y = 1, height do
        for x = 1, width do rows[#rows + 1] = row((2 * x - 1) / width - 1, (2 * y - 1) / height - 1) end
    end
    return attn.tensor(rows, {dtype = "float64"}):matmul(attn.tensor(inverse, {dtype = "float64"})),
        attn.tensor(control, {dtype = "float64"})
end

local Transformer = attn.module "Transformer"
function Transformer:init(cfg)
    self.form, self.height, self.width = cfg.form, cfg.height, cfg.width
    self.first = layer.linear{inputs = cfg.channels * cfg.height * cfg.width, outputs = cfg.hidden or 64}
    self.second = layer.linear{inputs = cfg.hidden or 64, outputs = 32}
    self.theta = layer.linear{inputs = 32, outputs = #forms[cfg.form]}
    init.zeros(self.theta.weight)
    attn.no_grad(function() self.theta.bias:copy_(attn.tensor(forms[cfg.form])) end)
    if cfg.form == "spline" then self.weights, self.control = spline_weights(cfg.height, cfg.width) end
end

-- U [B, C, H, W] -> V [B, C, H, W], theta [B, ...]
function Transformer:forward(U)
    local B = U:size(1)
    local theta = self.theta(self.second(self.first(U:flatten(2, 4)):relu()):relu())
    local grid
    if self.form == "spline" then
        local seen = theta:view(B, 9, 2) + self.control:to(U.dtype)
        grid = attn.einsum("pk,bkd->bpd", self.weights:to(U.dtype), seen):view(B, self.height, self.width, 2)
    else
        local matrix
        if self.form == "affine" then
            matrix = theta:view(B, 2, 3)
        else
            local s, zero = theta[{{}, {1, 1}}], attn.zeros(B, 1, {dtype = U.dtype})
            matrix = attn.stack({attn.cat({s, zero, theta[{{}, {2, 2}}]}, 2), attn.cat({zero, s, theta[{{}, {3, 3}}]}, 2)}, 2)
        end
        grid = attn.affine_grid(matrix, {self.height, self.width})
    end
    return attn.grid_sample(U, grid), theta
end

-- A fully connected classifier, or one of as many parameters behind a transformer.
local Classifier = attn.module "Classifier"
function Classifier:init(cfg)
    local pixels = cfg.side * cfg.side
    if cfg.form then self.transformer = Transformer{form = cfg.form, height = cfg.side, width = cfg.side, channels = 1,
        hidden = cfg.hidden} end
    self.first = layer.linear{inputs = pixels, outputs = cfg.form and cfg.hidden or cfg.wide}
    self.second = layer.linear{inputs = cfg.form and cfg.hidden or cfg.wide, outputs = cfg.hidden}
    self.out = layer.linear{inputs = cfg.hidden, outputs = 10}
end

function Classifier:forward(x)
    local theta
    if self.transformer then x, theta = self.transformer(x) end
    return self.out(self.second(self.first(x:flatten(2, 4)):relu()):relu()), x, theta
end

local paper = study{
    system = {"D5"}, paper = "Jaderberg, Simonyan, Zisserman, Kavukcuoglu 2015, Spatial transformer networks, NeurIPS",
    options = {rotate = 90, shift = 0, hidden = 64, wide = 124, side = 28, batch = 64, steps = 3000, lr = 2e-3, train = 8000, test = 2000},
    quick = {hidden = 4, wide = 8, steps = 2, batch = 4, train = 8, test = 8}, seeds = 3,
}

-- The correlation of two lists.
local function correlation(a, b)
    a, b = a - a:mean(), b - b:mean()
    return ((a * b):sum() / ((a * a):sum() * (b * b):sum()):sqrt()):item()
end

-- Pictures [B, 1, H, W] turned by angles [B], in radians.
local function turned(images, angle)
    local cos, sin, zero = angle:cos(), angle:sin(), angle * 0
    local theta = attn.stack({attn.stack({cos, sin, zero}, 2), attn.stack({-sin, cos, zero}, 2)}, 2)
    return attn.grid_sample(images, attn.affine_grid(theta, {images:size(3), images:size(4)}))
end

local function draw(cfg, part, seed, count)
    return fit.hold(task.digits({data = cfg.data, made = cfg.made, part = part, shift = cfg.shift, count = count, size = cfg.batch}, seed), seed)
end

local function run(cfg, cell)
    local most, held, fields = math.rad(cfg.rotate), draw(cfg, "test", cell.seed, cfg.test), {image = {}, answer = {}, angle = {}}
    for b in held:epoch(1) do                               -- to test, each digit is turned once; to train, anew each time
        local angle = (2 * attn.rand(#b.answer) - 1) * most
        local n = #fields.image + 1
        fields.image[n], fields.answer[n], fields.angle[n] = turned(b.image, angle), b.answer, angle
    end
    for name, list in pairs(fields) do fields[name] = attn.cat(list, 1) end
    local train, test = draw(cfg, "train", cell.seed, cfg.train), attn.data.batches{fields = fields, size = cfg.batch, seed = cell.seed}
    local model = Classifier(cfg)
    fit{model = model, batches = train, steps = cfg.steps, cell = cell, schedule = attn.schedule.linear{lr = cfg.lr,
        steps = cfg.steps, final = cfg.lr / 50},
        loss = function(b)
            return attn.loss.cross_entropy((model(turned(b.image, (2 * attn.rand(#b.answer) - 1) * most))), b.answer)
        end}
    local out = {error = 100 * (1 - fit.accuracy(model, test, function(b) return (model(b.image)), b.answer end)),
        parameters = model:count()}
    if not cfg.form then return out end
    local predicted, true_ones = {}, {}
    fit.each(model, test, function(b)
        local _, seen, theta = model(b.image)
        if cfg.form == "affine" then                        -- the turn of [a b; c d] is atan2(c - b, a + d)
            for i, m in ipairs(theta:totable()) do
                predicted[#predicted + 1], true_ones[#true_ones + 1] = math.atan(m[4] - m[2], m[1] + m[5]), b.angle[i]:item()
            end
        end
        if #predicted <= #theta then                        -- the first batch
            cell:keep("before", b.image[{{1, 4}}], {as = "image"})
            cell:keep("after", seen[{{1, 4}}], {as = "image"})
        end
    end)
    if cfg.form == "affine" then out.angle = math.abs(correlation(attn.tensor(predicted), attn.tensor(true_ones))) end
    return out
end

local rows = {{"none"}, {"attention", form = "attention"}, {"affine", form = "affine"}, {"spline", form = "spline"}}
local better = {error = "less", parameters = "none"}
local mnist = paper:table{name = "mnist",
    about = "error in percent, digits turned by up to 90 degrees; angle: correlation with the true one",
    data = "mnist", vary = rows, better = better, run = run}
local made = paper:table{name = "made digits", about = "the same with digits of seven strokes", synthetic = true,
    better = better, run = run,
    vary = {{"none", made = true}, {"affine", made = true, form = "affine"}}}

for _, one in ipairs{{"MNIST", mnist}, {"made digits", made}} do
    local name, t = one[1], one[2]
    paper:claim{name .. ": with an affine transformer, of as many parameters, the error is at most 0.7 times",
        t["affine"].error / t["none"].error, at_most = 0.7}
    paper:claim{name .. ": the angle it turns by correlates with the true one, at least 0.8", t["affine"].angle, at_least = 0.8}
end
paper:claim{"a thin-plate spline does as well: at most 0.7 times", mnist["spline"].error / mnist["none"].error, at_most = 0.7}

return paper:main{Transformer = Transformer, Classifier = Classifier, spline_weights = spline_weights}
