"""Makes foreign.h5: what other programs put into HDF5 files, in the library's oldest format."""
import h5py
import numpy as np

with h5py.File("foreign.h5", "w", libver="earliest") as f:
    f.attrs["title"] = "a file of others"
    f.attrs["count"] = np.int32(3)
    f.attrs["fixed"] = np.bytes_("fixed text")
    f.attrs["half"] = np.float16(0.5)
    f.attrs["rows"] = np.array([1.5, 2.5])
    f.attrs["flag"] = True  # an enumeration: skipped
    g = f.create_group("data")
    g.attrs["names"] = ["one", "two"]
    g.create_dataset("plain", data=np.arange(12, dtype=np.float32).reshape(3, 4))
    g.create_dataset("big_endian", data=np.arange(5, dtype=">f8"))
    g.create_dataset("chunked", data=np.arange(600, dtype=np.int32).reshape(30, 20), chunks=(7, 9), compression="gzip",
                     shuffle=True, fletcher32=True)
    g.create_dataset("long", data=np.array([1 << 40, -1]))
    g.create_dataset("bytes", data=np.arange(6, dtype=np.uint8))
    g.create_dataset("words", data=["alpha", "", "\u00fc"], dtype=h5py.string_dtype())
    g.create_dataset("fixed_words", data=np.array([b"ab", b"abcd"], dtype="S4"))
    g.create_dataset("never_written", shape=(4,), dtype=np.float32)
    g.create_dataset("nothing", data=h5py.Empty("f4"))
    g.create_dataset("pairs", data=np.zeros(2, dtype=[("a", "i4"), ("b", "f4")]))  # compound: skipped
    f["again"] = g["plain"]
    f["soft"] = h5py.SoftLink("/data/plain")
    f["outside"] = h5py.ExternalLink("/etc/passwd", "/")
    many = f.create_group("many")
    for i in range(12):
        many.create_dataset(f"d{i:02}", data=np.float64(i))

# noted.h5: `cambium forward` of a batch of one sequence of two tokens through tests/golden/models/gpt2, and then
#   with h5py.File("noted.h5", "a") as f: f.attrs["note"] = "mine"
