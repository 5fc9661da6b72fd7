"""The random numbers of core/random.h in NumPy, and the dropout masks of core/kernels/dropout.h made of them."""

import numpy as np

M64 = (1 << 64) - 1


def _mix(z):  # splitmix64's finaliser
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
    return z ^ (z >> 31)


def random_key(seed, purpose, step=0):
    fnv = 0xCBF29CE484222325
    for byte in purpose.encode():
        fnv = ((fnv ^ byte) * 0x100000001B3) & M64
    first = _mix((seed + 0x9E3779B97F4A7C15) & M64)
    key = _mix((_mix(first ^ fnv) + step) & M64)
    return key & 0xFFFFFFFF, key >> 32


def philox(key, c0, c1, c2, c3):
    """Philox4x32-10 (Salmon et al. 2011): four arrays of words for arrays of counters."""
    k0, k1 = key
    low = np.uint64(0xFFFFFFFF)
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(c, np.uint64) for c in (c0, c1, c2, c3)))
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = ((p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0), p1 & low,
                          (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1), p0 & low)
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3])


assert [int(w) for w in philox((0xA4093822, 0x299F31D0), 0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)] \
    == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]  # the authors' known answer


def dropout_factors(p, key, tokens, sequence, channels, head=0):
    """[tokens, channels]: 1 / (1 - p) where kept, else 0. tokens: places in the sequence."""
    p = float(np.float32(p))
    d = np.arange(channels)
    words = philox(key, d // 64 * 16 + d % 16, np.asarray(tokens)[:, None], sequence, head)
    word = np.take_along_axis(words, np.broadcast_to(d // 16 % 4, words.shape[1:])[None], 0)[0]
    return np.where(word >= np.uint64(int(p * 4294967296.0)), 1 / (1 - p), 0.0)
