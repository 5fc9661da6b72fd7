#!/usr/bin/env python3
"""Lists everything in a checkpoint or model file of ours, read by h5py alone.

    list_h5.py FILE.h5...

A line for every dataset: path, type, shape, Euclidean norm, values that are not finite; then every
attribute. Ends with code 1 where something cannot be read.
"""

import sys

import h5py
import numpy


def describe(name, item):
    if isinstance(item, h5py.Dataset):
        values = item[()]
        if item.dtype.kind in "fiu":
            numbers = numpy.asarray(values, dtype=numpy.float64)
            finite = numpy.isfinite(numbers)
            norm = float(numpy.linalg.norm(numbers[finite]))
            extra = f"norm {norm:.6g}, not finite {int((~finite).sum())}"
        else:
            extra = f"{item.size} strings"
        print(f"/{name} {item.dtype} {list(item.shape)} {extra}")
    for key, value in item.attrs.items():
        print(f"/{name} @{key} = {value!r}"[:160])


def main(paths):
    for path in paths:
        try:
            with h5py.File(path) as file:
                print(path)
                describe("", file)
                file.visititems(describe)
        except OSError as error:
            print(f"error: {path}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
