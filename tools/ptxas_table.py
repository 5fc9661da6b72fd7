#!/usr/bin/env python3
"""What the GPU's kernels need: registers, shared memory, spills and occupancy, as a Markdown table.

Compiles the kernels to machine code (nothing is kept), so it needs nvcc, but no GPU:

    tools/ptxas_table.py [--arch 90] [--skip attention] [cuda/norm.cu ...]

Exit status 1 if a kernel named by --no-spills (a regular expression) spills.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLAGS = ["-std=c++20", "-O2", "-DNDEBUG", "--expt-relaxed-constexpr", f"-I{ROOT}"]
# Of a multiprocessor: registers, bytes of shared memory, threads, blocks (CUDA C++ Programming Guide, technical
# specifications).
LIMITS = {80: (65536, 164 << 10, 2048, 32), 90: (65536, 228 << 10, 2048, 32)}
RESERVED_SHARED = 1024  # bytes of each block
DEFAULT_THREADS = 256   # of kernels without __launch_bounds__


def nvcc():
    found = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    if not pathlib.Path(found).exists():
        sys.exit("error: nvcc is neither on PATH nor in /usr/local/cuda/bin")
    return found


def run(command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"error: {' '.join(map(str, command))}\n{result.stderr}")
    return result.stdout + result.stderr


def round_up(n, unit):
    return (n + unit - 1) // unit * unit


def occupancy(arch, registers, shared, threads):
    """Resident threads of a multiprocessor as a share of the most it can have."""
    all_registers, all_shared, all_threads, all_blocks = LIMITS[arch]
    warps = (threads + 31) // 32
    by_registers = all_registers // (round_up(registers * 32, 256) * warps)
    by_shared = all_shared // round_up(shared + RESERVED_SHARED, 128)
    blocks = min(by_registers, by_shared, all_threads // (warps * 32), all_blocks)
    return blocks * warps * 32 / all_threads


def kernels_of(source, arch, folder):
    """(name, template arguments, registers, static shared bytes, spilled bytes, threads) of each kernel."""
    ptx = folder / (source.stem + ".ptx")
    run([nvcc(), *FLAGS, f"-arch=compute_{arch}", "-ptx", source, "-o", ptx])
    threads = dict(re.findall(r"\.entry (\w+)\([^)]*\)\s*\.maxntid (\d+)", ptx.read_text()))
    log = run([pathlib.Path(nvcc()).parent / "ptxas", f"-arch=sm_{arch}", "-v", ptx, "-o", folder / "out.cubin"])
    pattern = re.compile(r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
                         r"(\d+) bytes spill loads.*?Used (\d+) registers([^\n]*)", re.S)
    rows = []
    for mangled, _, stores, loads, registers, rest in pattern.findall(log):
        shared = re.search(r"(\d+) bytes smem", rest)
        name = run(["c++filt", "-p", mangled]).strip().replace("cambium::gpu::", "").replace("(anonymous namespace)::", "")
        name = name.removeprefix("void ")
        base, _, arguments = name.partition("<")
        rows.append((base, arguments.removesuffix(">").replace("cambium::", ""), int(registers), int(shared[1]) if shared else 0,
                     int(stores) + int(loads), int(threads.get(mangled, DEFAULT_THREADS))))
    return rows


def span(values):
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sources", nargs="*", type=pathlib.Path)
    parser.add_argument("--arch", type=int, choices=sorted(LIMITS), default=90)
    parser.add_argument("--skip", default="^simt", help="files whose name matches are left out")
    parser.add_argument("--variants", action="store_true", help="a line for each variant of a template")
    parser.add_argument("--no-spills", default="$^", help="kernels that must not spill")
    options = parser.parse_args()
    sources = options.sources or [s for s in sorted((ROOT / "cuda").glob("*.cu")) if not re.search(options.skip, s.stem)]

    print("| file | kernel | variants | registers | shared memory | spilled bytes | threads | occupancy |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    refused = []
    with tempfile.TemporaryDirectory() as folder:
        for source in sources:
            groups = {}
            for row in kernels_of(source, options.arch, pathlib.Path(folder)):
                key = f"{row[0]}<{row[1]}>" if options.variants and row[1] else row[0]
                groups.setdefault(key, []).append(row)
            for name, rows in sorted(groups.items()):
                share = [round(100 * occupancy(options.arch, r[2], r[3], r[5])) for r in rows]
                spilled = [r[4] for r in rows]
                print(f"| {source.name} | {name} | {len(rows)} | {span([r[2] for r in rows])} | {span([r[3] for r in rows])} | "
                      f"{span(spilled)} | {span([r[5] for r in rows])} | {span(share)} % |", flush=True)
                if max(spilled) and re.search(options.no_spills, name):
                    refused.append(f"{source.name}: {name} spills {max(spilled)} bytes")
    if refused:
        sys.exit("error: " + "\n".join(refused))


if __name__ == "__main__":
    main()
