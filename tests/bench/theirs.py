"""One case of the benchmark in PyTorch: theirs.py CASE FOLDER SECONDS THREADS. The same work as in cases.lua, as a careful user of
PyTorch would write it. Prints "sample SECONDS" lines and "peak KIB", writes CASE.theirs.safetensors."""
import json
import math
import os
import resource
import struct
import sys
import time

name, folder, seconds, threads = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
for v in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[v] = str(threads)
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_num_threads(threads)


def load(path):
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        head = json.loads(f.read(n))
        data = f.read()
    kinds = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "BOOL": np.bool_}
    return {k: torch.from_numpy(np.frombuffer(data[v["data_offsets"][0]:v["data_offsets"][1]], kinds[v["dtype"]])
                                .reshape(v["shape"]).copy()) for k, v in head.items() if k != "__metadata__"}


def save(path, tensors):
    head, at, blobs = {}, 0, []
    for k, t in tensors.items():
        b = t.detach().contiguous().float().numpy().tobytes()
        head[k] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [at, at + len(b)]}
        at += len(b)
        blobs.append(b)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


I = load(f"{folder}/{name}.in.safetensors")


def recurrent(cell):
    layer = {"gru": nn.GRU, "lstm": nn.LSTM}[cell](256, 512, batch_first=True)
    with torch.no_grad():
        for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(layer, k + "_l0").copy_(I[k + "_l1"])
    x = I["x"].requires_grad_(True)
    keep = {}

    def run():
        layer.zero_grad(set_to_none=True)
        x.grad = None
        keep["y"] = layer(x)[0]
        keep["y"].backward(I["g"])
    return run, lambda: [keep["y"], x.grad, layer.weight_hh_l0.grad]


class Net(nn.Module):
    """RNNsearch: what does not depend on the previous state is hoisted out of the loop."""

    def __init__(self, feed):
        super().__init__()
        V, E, H = 8000, 256, 256
        self.feed, self.H = feed, H
        self.src, self.tgt = nn.Embedding(V, E), nn.Embedding(V, E)
        self.enc = nn.GRU(E, H, bidirectional=True, batch_first=True)
        self.bridge = nn.Linear(H, H)
        p = {k: nn.Parameter(v.clone()) for k, v in I.items() if k.startswith("decoder.")}
        self.names = {k: k.replace(".", "_") for k in p}
        for k, v in p.items():
            setattr(self, self.names[k], v)
        with torch.no_grad():
            self.src.weight.copy_(I["source.weight"])
            self.tgt.weight.copy_(I["target.weight"])
            self.bridge.weight.copy_(I["bridge.weight"])
            self.bridge.bias.copy_(I["bridge.bias"])
            for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(self.enc, k + "_l0").copy_(I[f"encoder.{k}_l1"])
                getattr(self.enc, k + "_l0_reverse").copy_(I[f"encoder.{k}_l1_reverse"])

    def w(self, k):
        return getattr(self, self.names["decoder." + k])

    def forward(self, src, lengths, tgt, pad):
        E, H = 256, self.H
        x = nn.utils.rnn.pack_padded_sequence(self.src(src), lengths, batch_first=True, enforce_sorted=False)
        enc, last = self.enc(x)
        memory = nn.utils.rnn.pad_packed_sequence(enc, batch_first=True, total_length=src.shape[1])[0]
        h = torch.tanh(self.bridge(last[1]))
        keys = F.linear(memory, self.w("attention.score.weight_key"), self.w("attention.score.bias"))
        y = self.tgt(tgt)
        wih = self.w("cell.weight_ih")
        gi_y = F.linear(y, wih[:, :E], self.w("cell.bias_ih"))
        w_rest = wih[:, E:]
        wq, v = self.w("attention.score.weight_query"), self.w("attention.score.v")
        whh, bhh = self.w("cell.weight_hh"), self.w("cell.bias_hh")

        def attend(s):
            e = torch.tanh(keys + F.linear(s, wq).unsqueeze(1)).matmul(v)
            a = torch.softmax(e.masked_fill(pad, -math.inf), -1)
            return torch.bmm(a.unsqueeze(1), memory).squeeze(1)

        def cell(gi, s):
            gh = F.linear(s, whh, bhh)
            ir, iz, inn = gi.chunk(3, 1)
            hr, hz, hn = gh.chunk(3, 1)
            r, z = torch.sigmoid(ir + hr), torch.sigmoid(iz + hz)
            n = torch.tanh(inn + r * hn)
            return n + z * (s - n)

        outs, ctx = [], []
        att = torch.zeros_like(h)
        for t in range(tgt.shape[1]):
            if self.feed:
                h = cell(gi_y[:, t] + F.linear(att, w_rest), h)
                c = attend(h)
                att = torch.tanh(F.linear(torch.cat((c, h), 1), self.w("combine.weight")))
                outs.append(att)
            else:
                c = attend(h)
                h = cell(gi_y[:, t] + F.linear(c, w_rest), h)
                outs.append(h)
                ctx.append(c)
        if self.feed:
            o = torch.stack(outs, 1)
        else:
            o = torch.cat((torch.stack(outs, 1), y, torch.stack(ctx, 1)), 2)
            o = F.linear(o, self.w("readout.maxout.weight"), self.w("readout.maxout.bias"))
            o = o.unflatten(-1, (H, 2)).max(-1)[0]
        return F.linear(o, self.w("readout.out.weight"), self.w("readout.out.bias"))


def rnnsearch(feed):
    net = Net(feed)
    opt = torch.optim.Adam(net.parameters(), 1e-3)
    pad = torch.arange(I["ids"].shape[1])[None] >= I["lengths"][:, None]
    ids, tin, tout = I["ids"] - 1, I["target_in"] - 1, I["target_out"] - 1
    keep = {}

    def run():
        opt.zero_grad(set_to_none=True)
        loss = F.cross_entropy(net(ids, I["lengths"], tin, pad).flatten(0, 1), tout.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        keep.setdefault("loss", loss.detach())
    return run, lambda: [keep["loss"]]


def attention(T, causal, backward):
    def split(x):
        return x.view(8, T, 8, 64).transpose(1, 2).contiguous().view(64, T, 64)
    q, k, v, g = (split(I[n]) for n in "qkvg")
    bias = torch.full((T, T), -math.inf).triu(1) if causal else None
    keep = {}

    def forward():
        if causal:
            e = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=0.125)
        else:
            e = torch.bmm(q * 0.125, k.transpose(1, 2))
        return torch.bmm(torch.softmax(e, -1), v)
    if not backward:
        def run():
            with torch.no_grad():
                keep["c"] = forward()
        return run, lambda: [keep["c"]]
    for t in (q, k, v):
        t.requires_grad_(True)

    def run():
        q.grad = k.grad = v.grad = None
        keep["c"] = forward()
        keep["c"].backward(g)
    return run, lambda: [keep["c"], q.grad, k.grad, v.grad]


def additive():
    p = {k: I["score." + k].requires_grad_(True) for k in ("weight_query", "weight_key", "bias", "v")}
    q, k = I["q"].requires_grad_(True), I["k"].requires_grad_(True)
    keep = {}

    def run():
        for t in (q, k, *p.values()):
            t.grad = None
        x = F.linear(q, p["weight_query"]).unsqueeze(2) + F.linear(k, p["weight_key"], p["bias"]).unsqueeze(1)
        keep["c"] = torch.bmm(torch.softmax(torch.tanh(x).matmul(p["v"]), -1), k)
        keep["c"].backward(I["g"])
    return run, lambda: [keep["c"], q.grad, k.grad, p["v"].grad]


def linear():
    w, b, x = (I[n].requires_grad_(True) for n in ("weight", "bias", "x"))
    keep = {}

    def run():
        w.grad = b.grad = x.grad = None
        keep["y"] = F.linear(x, w, b)
        keep["y"].backward(I["g"])
    return run, lambda: [keep["y"], x.grad, w.grad, b.grad]


def adam():
    ps = [nn.Parameter(p.clone()) for p in I["p"]]
    for p, g in zip(ps, I["g"]):
        p.grad = g.clone()
    opt = torch.optim.Adam(ps, 1e-3, foreach=True)
    keep = {}

    def run():
        opt.step()
        keep.setdefault("p", ps[0].detach().clone())
    return run, lambda: [keep["p"]]


def small(one):
    x, keep = I["x"].requires_grad_(True), {}

    def run():
        for _ in range(1000):
            z = one(x)
        keep["z"] = z
    return run, lambda: [keep["z"]]


def chain():
    x, y = I["x"].requires_grad_(True), I["y"]

    def run():
        x.grad = None
        for _ in range(10):
            z = x
            for _ in range(100):
                z = z + y
            z.sum().backward()
    return run, lambda: [x.grad]


def build():
    parts = name.split("_")
    if parts[0] in ("gru", "lstm"):
        return recurrent(parts[0])
    if parts[0] == "rnnsearch":
        return rnnsearch("feed" in parts)
    if parts[0] == "attention":
        return attention(int(parts[-1][1:]), "causal" in parts, "train" in parts)
    if parts[0] == "additive":
        return additive()
    if parts[0] == "linear":
        return linear()
    if parts[0] == "adam":
        return adam()
    if name == "small_chain":
        return chain()
    if parts[0] == "small":
        y, w = I["y"], I.get("w")
        return small({"add": lambda x: x + y, "tanh": lambda x: x.tanh(), "matmul": lambda x: w @ x}[parts[1]])
    raise SystemExit("no such case: " + name)


run, outputs = build()
run()
save(f"{folder}/{name}.theirs.safetensors", {f"out{i + 1}": t for i, t in enumerate(outputs())})
run()
start, n = time.perf_counter(), 0
while n < 3 or (time.perf_counter() - start < seconds and n < 500):
    t = time.perf_counter()
    run()
    print(f"sample {time.perf_counter() - t:.9f}")
    n += 1
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
