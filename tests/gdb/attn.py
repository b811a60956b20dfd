# gdb prints tensors by what they hold:  gdb -x tests/gdb/attn.py --args bin/dev/attn script.lua
#
#     (gdb) print x
#     $1 = 0x5555557d4e40 float32 [2, 3] {0.5, -1, 2, 0, 0.25, 7}
#
# Strides are followed, so a view shows its own elements. `set print elements N` says how many (0: all).
import itertools
import struct

import gdb
import gdb.printing

# in the order of at_dtype
TYPES = [("float32", "f"), ("float64", "d"), ("int64", "q"), ("bool", "?")]


def elements(t, code, sizes):
    steps = [int(t["step"][d]) for d in range(len(sizes))]
    data, width = int(t["data"]), struct.calcsize("=" + code)
    for index in itertools.product(*[range(n) for n in sizes]):
        at = data + width * sum(i * step for i, step in zip(index, steps))
        (x,) = struct.unpack("=" + code, gdb.selected_inferior().read_memory(at, width))
        yield str(x).lower() if code == "?" else "%.6g" % x if code in "fd" else str(x)


def describe(t):
    dtype, ndim = int(t["dtype"]), int(t["ndim"])
    if dtype >= len(TYPES) or ndim > 8:
        return "no tensor: dtype %d, %d dimensions" % (dtype, ndim)
    name, code = TYPES[dtype]
    sizes = [int(t["size"][d]) for d in range(ndim)]
    text = "%s [%s]" % (name, ", ".join(map(str, sizes)))
    if t["requires_grad"]:
        text += " requires_grad"
    if not int(t["storage"]):
        return text + " without its numbers"
    limit = gdb.parameter("print elements") or None
    try:
        shown = list(itertools.islice(elements(t, code, sizes), limit and limit + 1))
    except gdb.MemoryError:
        return text + " {not readable}"
    if limit and len(shown) > limit:
        shown[limit:] = ["..."]
    return text + " {" + ", ".join(shown) + "}"


class Tensor:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        if self.value.type.strip_typedefs().code != gdb.TYPE_CODE_PTR:
            return describe(self.value)
        address = int(self.value)
        if not address:
            return "NULL"
        try:
            return "0x%x %s" % (address, describe(self.value.dereference()))
        except gdb.MemoryError:
            return "0x%x {not readable}" % address


class Tensors(gdb.printing.PrettyPrinter):
    def __call__(self, value):
        kind = value.type.strip_typedefs()
        if kind.code == gdb.TYPE_CODE_PTR:
            kind = kind.target().strip_typedefs()
        return Tensor(value) if kind.code == gdb.TYPE_CODE_STRUCT and kind.tag == "at_tensor" else None


gdb.printing.register_pretty_printer(None, Tensors("attn"), replace=True)
