#!/usr/bin/env bash
# Makes a checkout ready: Node 20 or newer, the packages of package-lock.json, redis-server.
# With --test also what the tests use where they can get it: SwiftShader, a GPU in software (packages chromium, libvulkan1).
# Says what it installs before it does; installs nothing that is there already.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
for_tests=no
[ "${1:-}" != --test ] || for_tests=yes
fail() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

command -v node >/dev/null || fail 'Node.js is missing; install version 20.10 or newer from https://nodejs.org'
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 10) ? 0 : 1)' ||
  fail "Node.js $(node --version) is too old; install version 20.10 or newer from https://nodejs.org"

# npm writes this file at the end of a complete install
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say 'installing the packages of package-lock.json into node_modules (npm ci; no install scripts are run)'
  npm ci --no-progress --loglevel=error >&2 ||
    fail 'npm ci failed; it needs the npm registry, or a mirror of it (npm config set registry URL)'
  touch node_modules/.package-lock.json
fi

if ! command -v redis-server >/dev/null; then
  by_hand='install redis-server yourself, or use a Redis that runs elsewhere: dtrain up --redis redis://HOST:6379'
  if command -v apt-get >/dev/null; then
    if [ "$(id -u)" = 0 ]; then
      as_root=()
    elif command -v sudo >/dev/null; then
      as_root=(sudo)
      say 'sudo may ask for your password'
    else
      fail 'redis-server is missing, and this user may not install it (no sudo).' \
        "Ask an administrator for: apt-get install redis-server; or $by_hand"
    fi
    say 'installing redis-server with apt-get; dtrain starts its own, private one'
    # --no-install-recommends, and no service started where policy-rc.d is honoured: only the program is needed
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends redis-server >&2 ||
      { "${as_root[@]}" apt-get update -q >&2 &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends redis-server >&2; } ||
      fail "redis-server could not be installed; $by_hand"
  elif command -v brew >/dev/null; then
    say 'installing redis with brew; dtrain starts its own, private one'
    HOMEBREW_NO_AUTO_UPDATE=1 brew install redis >&2 || fail "redis could not be installed; $by_hand"
  else
    fail "redis-server is missing, and there is neither apt-get nor brew; $by_hand"
  fi
fi

# Tests that need SwiftShader skip themselves without it, so that nothing here ends the set-up.
swiftshader=/usr/lib/chromium/vk_swiftshader_icd.json
vulkan() { compgen -G '/usr/lib*/libvulkan.so.1' || compgen -G '/usr/lib/*/libvulkan.so.1'; } >/dev/null
if [ "$for_tests" = yes ] && { [ ! -e "$swiftshader" ] || ! vulkan; }; then
  without='the tests of WebGPU will skip themselves'
  if ! command -v apt-get >/dev/null; then
    say "SwiftShader is not installed, and there is no apt-get to install it with; $without"
  elif [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
    say "SwiftShader is not installed, and this user may not install it (apt-get install chromium libvulkan1); $without"
  else
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo -n)
    say 'installing chromium (for its SwiftShader, a GPU in software) and libvulkan1 with apt-get, for tests alone'
    install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends chromium libvulkan1)
    "${install[@]}" >&2 || { "${as_root[@]}" apt-get update -q >&2 && "${install[@]}" >&2; } ||
      say "SwiftShader could not be installed; $without"
  fi
fi
