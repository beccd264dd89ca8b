#!/bin/sh
# Every test: the library and its tools, the adapters, the client for node, and the scenarios on real
# tools. What tests need besides rustup, gcc, git, node and npm is installed with apt as root; otherwise
# they skip it, in print and counted. Where CI is set a skip is an error.
set -eu

cd "$(dirname "$0")/.."
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# Programs that tests need, by the package of Debian and Ubuntu that has them.
missing=
for need in strace:strace python3:python3 perl:perl make:make go:golang-go unshare:util-linux setpriv:util-linux clang:clang wasm-ld:lld; do
    command -v "${need%%:*}" >/dev/null || missing="$missing ${need##*:}"
done
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "Installing$missing"
    # shellcheck disable=SC2086 # several words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing ||
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing; } ||
        echo "could not install$missing"
fi

OVERHEAR_TESTS_SKIPPED=$(mktemp)
export OVERHEAR_TESTS_SKIPPED
trap 'rm -f "$OVERHEAR_TESTS_SKIPPED"' EXIT

if cargo fmt --version >/dev/null 2>&1; then
    say "The form of the code"
    cargo fmt --all --check
else
    echo "There is no rustfmt (rustup component add rustfmt): the form of the code is not checked"
fi

# The tests say what they set; what the caller happens to have set is not for them.
unset NODE_ENV OVERHEAR_TRACE OVERHEAR_CACHE_DIR OVERHEAR_ABORT_AT

# A fixed number of random sequences, so that the same is run everywhere; more of them by hand.
export OVERHEAR_MACHINE_COUNT="${OVERHEAR_MACHINE_COUNT:-240}"

say "The program, its adapters, and the scenarios"
# Two calls: together, the features of one crate's dependencies would be those of all, and cargo would
# build wasmtime a second time.
cargo test --release --locked --package overhear
# More random sequences, with the tool played in the process of the test.
OVERHEAR_MACHINE_PLAYED=1 OVERHEAR_MACHINE_COUNT=300 cargo test --release --locked --package overhear --test machine
# The interpreter of scripts is tested where it runs, in the program: natively it would be built for nothing.
cargo test --release --locked --workspace --exclude overhear --exclude overhear-adapter-script

say "What is for every system, on others"
for target in aarch64-apple-darwin x86_64-pc-windows-msvc; do
    if rustup target add "$target" >/dev/null 2>&1; then
        cargo check --locked --package overhear-trace --package overhear-trace-abi --package overhear-client --target "$target"
    else
        echo "cargo check for $target: rustup cannot add it" >>"$OVERHEAR_TESTS_SKIPPED"
    fi
done

say "The client for node"
(cd sdk-js && node --test)

say "The site of the documents, its links and its spelling"
# Not `npm ci`: it wants packages for other systems in the lock file, which not every registry names.
(cd docs && npm install --no-save --prefer-offline --no-audit --no-fund --loglevel=error && npm run --silent build && npm run --silent spell)

skipped=$(sort -u "$OVERHEAR_TESTS_SKIPPED" | grep -c . || true)
sort -u "$OVERHEAR_TESTS_SKIPPED" | sed 's/^/skipped: /'
say "All tests pass; $skipped skipped"
if [ "$skipped" != 0 ] && [ -n "${CI:-}" ]; then
    echo "tests/run.sh: in CI nothing may be skipped" >&2
    exit 1
fi
