# What ./quickstart and ./run-tests share: the system's packages, configuring, building. Sourced by both.

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

processors() { nproc 2>/dev/null || echo 2; }

# Names of packages in tools/packages.txt that are not installed.
missing_packages() {
  local package
  for package in $(sed 's/#.*//' tools/packages.txt); do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

# Installs what is missing; asks for sudo only then.
install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "This system has no apt-get: tools/packages.txt names what has to be there."
    return
  fi
  local missing root=()
  missing=$(missing_packages | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  say "Missing system packages: $missing"
  if [ "$install" = 0 ]; then
    fail "install them (apt-get install $missing), or run this without --no-install"
  fi
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "neither root nor sudo: ask for these packages to be installed: $missing"
    say "Installing them needs root's rights: sudo may ask for your password."
    root=(sudo)
  fi
  local log
  log=$(mktemp)
  say "Installing them ..."
  if ! { "${root[@]}" apt-get update && "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    fail "apt-get could not install them; its whole output is in $log"
  fi
  rm -f "$log"
}

# build TARGET...: configures build/ and builds targets there; shows ninja's progress, and whole errors. A new build/
# compiles files in groups, because all of them are compiled; one that is there already keeps its ways.
build() {
  local log=build/build.log groups=()
  mkdir -p build
  [ -e build/CMakeCache.txt ] || groups=(-DCAMBIUM_UNITY=ON)
  if ! cmake --preset default "${groups[@]}" >"$log" 2>&1; then
    tail -n 25 "$log" >&2
    fail "configuring failed; the whole output is in $log"
  fi
  say "Building ($*) with $(processors) processes ..."
  if [ -t 1 ]; then
    cmake --build build --parallel "$(processors)" --target "$@" || fail "the build failed"
  elif ! cmake --build build --parallel "$(processors)" --target "$@" >"$log" 2>&1; then
    { grep -E -A 12 'error|FAILED' "$log" | head -n 60 >&2; } || true  # head leaves before grep is done
    fail "the build failed; the whole output is in $log"
  fi
}
