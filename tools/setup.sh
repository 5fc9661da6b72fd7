# What ./quickstart and ./run-tests share: the system's packages, configuring, building, and errors that say what to do.
# Sourced by both, in the project's folder. JOBS: processes of the build (default: all processors).

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

processors() { echo "${JOBS:-$(nproc 2>/dev/null || echo 2)}"; }

# package_of NAME: the package that brings what CMake, the compiler or the linker call NAME (tools/provides.txt).
package_of() (
  set -f  # unicode/* is a pattern of names here, not of files
  sed 's/#.*//' tools/provides.txt | while IFS=: read -r package names; do
    for name in $names; do
      # shellcheck disable=SC2053
      if [[ $1 == $name ]]; then echo "$package"; exit; fi
    done
  done
)

# explanation LOG: what is wrong and what to do, in one line, where a line of the log is one that tools/errors.txt knows. Each
# row becomes a substitution that puts the row's number in front; the lowest number that appears is taken.
explanation() {
  local row rows=() program=h found package
  mapfile -t rows < <(grep -E ' => ' tools/errors.txt | grep -v '^#')
  for row in "${!rows[@]}"; do
    program+=$'\ns\x01.*'"${rows[row]%% => *}"$'.*\x01'"$row ${rows[row]#* => }"$'\x01p;g'
  done
  found=$(tr -d '\r' <"$1" | sed -nE "$program" | sort -n -s | sed -nE '1s/^[0-9]+ //p')
  case $found in
    'missing '*)
      package=$(package_of "${found#missing }")
      echo "${found#missing } is missing${package:+: apt-get install $package}" ;;
    ?*) echo "$found" ;;
  esac
}

# fail_with LOG WHAT: the error that the log explains, in one line; else the end of the log and WHAT failed.
fail_with() {
  local why
  why=$(explanation "$1")
  [ -z "$why" ] || fail "$why. All of the output is in $1"
  { grep -E -A 12 'error|FAILED' "$1" || tail -n 25 "$1"; } | sed -n 1,60p >&2
  fail "$2. All of the output is in $1"
}

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
  log=$(mktemp 2>/dev/null) || fail "${TMPDIR:-/tmp} cannot be written: name another folder for temporary files (TMPDIR=FOLDER in front of the command)"
  say "Installing them ..."
  # shellcheck disable=SC2086
  { "${root[@]}" apt-get update && "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } \
    >"$log" 2>&1 || fail_with "$log" "apt-get could not install them"
  rm -f "$log"
}

# build TARGET...: configures build/ and builds targets there; shows ninja's progress, and whole errors. A new build/
# compiles files in groups, because all of them are compiled; one that is there already keeps its ways.
build() {
  local log=build/build.log groups=()
  { mkdir -p build && : >>"$log"; } 2>/dev/null ||
    fail "$PWD/build cannot be written: was it made by another user (root)? Remove it, or change whom it belongs to (chown)"
  [ -e build/CMakeCache.txt ] || groups=(-DCAMBIUM_UNITY=ON)
  cmake --preset default "${groups[@]}" >"$log" 2>&1 || fail_with "$log" "configuring failed"
  say "Building ($*) with $(processors) processes ..."
  local command=(cmake --build build --parallel "$(processors)" --target "$@")
  if [ -t 1 ] && command -v script >/dev/null; then  # it keeps ninja's one line of progress, and the log
    script -qefc "${command[*]}" "$log" || fail_with "$log" "the build failed"
  else
    "${command[@]}" >"$log" 2>&1 || fail_with "$log" "the build failed"
  fi
}
