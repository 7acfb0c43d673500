"""Prints the constants of `bits_are_the_same_on_every_target` in tests/rng.rs, from RFC 8439 with 8 rounds.

python rng.py
"""
import math
import struct

MASK = 0xFFFFFFFF


def block(key, counter, stream):
    state = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key),
             counter & MASK, counter >> 32, stream & MASK, stream >> 32]
    x = state[:]

    def quarter(a, b, c, d):
        for p, q, r, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[p] = (x[p] + x[q]) & MASK
            x[r] ^= x[p]
            x[r] = (x[r] << turn | x[r] >> (32 - turn)) & MASK

    for _ in range(4):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return [(a + b) & MASK for a, b in zip(x, state)]


def words(seed, item, stream):
    key = struct.pack("<QQQQ", seed, item, 0, 0)
    counter = 0
    while True:
        yield from block(key, counter, stream)
        counter += 1


draw = words(7, 9, 2)
bits = lambda: next(draw) | next(draw) << 32
uniform = lambda: (bits() >> 11) / 2**53
normal = lambda: math.sqrt(-2 * math.log(1 - uniform())) * math.cos(math.tau * uniform())
below = lambda n: bits() * n >> 64  # a redraw has probability n / 2^64
print("uniform", repr(uniform()))
print("normal", [repr(normal()) for _ in range(4)])
items = list(range(8))
for last in range(7, 0, -1):
    other = below(last + 1)
    items[last], items[other] = items[other], items[last]
print("shuffle", items)
