#!/bin/sh
# Makes what a release consists of, in target/release-files (or DIR):
#
#   release/build.sh [--out DIR] TARGET...
#
#   overhear-VERSION-TARGET.tar.gz   the program, its man pages, completions and licences
#   overhear-VERSION-TARGET.cdx.json what it is made of (CycloneDX)
#   *.tgz                            the packages for npm
#   SHA256SUMS                       of all of these
#
# Without a target: the one of this machine. Needs rustup with the targets, node, npm, and for musl
# musl-gcc. OVERHEAR_BUILT="TARGET=PATH ..." takes programs that are built already.
set -eu

cd "$(dirname "$0")/.."
root=$(pwd)
out=$root/target/release-files
if [ "${1:-}" = --out ]; then
    mkdir -p "$2"
    out=$(cd "$2" && pwd)
    shift 2
fi
host=$(rustc -vV | sed -n 's/^host: //p')
[ $# -gt 0 ] || set -- "$host"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
target_dir=$(cargo metadata --format-version 1 --no-deps --offline |
    node -p 'JSON.parse(require("fs").readFileSync(0, "utf8")).target_directory')

# The same bytes from the same sources, wherever they lie.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$root=overhear --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
export RUSTFLAGS

# The program for a target, built unless it is given.
program() {
    for built in ${OVERHEAR_BUILT:-}; do
        if [ "${built%%=*}" = "$1" ]; then
            echo "${built#*=}"
            return
        fi
    done
    cargo build --release --locked --target "$1" >&2
    echo "$target_dir/$1/release/overhear"
}

# A folder is emptied only where a release was made before.
if [ -d "$out" ] && [ -n "$(ls -A "$out")" ] && [ ! -f "$out/SHA256SUMS" ]; then
    echo "release/build.sh: $out has other files in it" >&2
    exit 2
fi
rm -rf "$out"
mkdir -p "$out"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# What describes a program comes from one that runs here.
own=$(program "$host")
programs=
for target in "$@"; do
    program=$(program "$target")
    name=overhear-$version-$target
    dir=$scratch/$name
    mkdir -p "$dir/man/man1" "$dir/completions"
    cp "$program" "$dir/overhear"
    cp LICENSE-MIT LICENSE-APACHE README.md CHANGELOG.md "$dir"
    "$own" man --to "$dir/man/man1"
    for shell in bash zsh fish powershell; do
        "$own" completions "$shell" >"$dir/completions/overhear.$shell"
    done
    tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
        -C "$scratch" -cf - "$name" | gzip -9n >"$out/$name.tar.gz"
    node release/sbom.mjs "$target" >"$out/$name.cdx.json"
    programs="$programs --program $target=$program"
done
# shellcheck disable=SC2086 # several words
node npm/pack.mjs --out "$out" $programs
(cd "$out" && sha256sum -- * >"$scratch/SHA256SUMS" && mv "$scratch/SHA256SUMS" .)
ls -l "$out"
