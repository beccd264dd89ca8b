#!/bin/sh
# The main job, shown on a real vite 8 + React app: a build is overheard, cached and restored, and each
# miss says why. Builds overhear, installs the app of examples/react-app, works on a copy of it below
# target/, and fails if a step ends in another way than it says here.
#
# Needs rustup (or the Rust of rust-toolchain.toml), gcc, git, node and npm.
set -eu

cd "$(dirname "$0")/.."
root=$(pwd)
example=$root/examples/react-app
app=$root/target/main-job/app
before=$root/target/main-job/dist-of-the-first-run
summary=$root/target/main-job/summary.json

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
fail() {
    printf '\nmain-job.sh: %s\n' "$*" >&2
    exit 1
}

for tool in cargo gcc git node npm; do
    command -v "$tool" >/dev/null || fail "$tool is needed, and is not in PATH"
done

# The steps say what they set; what the caller happens to have set would change the reasons.
unset NODE_ENV VITE_TITLE OVERHEAR_CACHE_DIR OVERHEAR_TRACE

say "Building overhear"
cargo build --release --locked
# Where cargo puts it may be set by a variable or by a config file.
target=$(cargo metadata --format-version 1 --no-deps --offline |
    node -p 'JSON.parse(require("fs").readFileSync(0, "utf8")).target_directory')
PATH=$target/release:$PATH
export PATH

say "Installing the example in target/main-job"
rm -rf "$root/target/main-job"
mkdir -p "$root/target/main-job"
cp -R "$example" "$app"
cd "$app"
rm -rf node_modules dist .overhear
npm ci --prefer-offline --no-audit --no-fund --loglevel=error

# A command, shown and done.
run() {
    echo "$ $*"
    "$@"
}

# Of the last run: a field such as `status` or `reason.kind`.
field() {
    node -p 'const [file, path] = process.argv.slice(1)
        let value = JSON.parse(require("fs").readFileSync(file, "utf8")).tasks[0]
        for (const name of path.split(".")) value = (value ?? {})[name]
        value ?? ""' "$summary" "$1"
}

# expect STATUS [REASON [NAME]]: what `overhear run build` ends as, why it ran, what the reason names.
expect() {
    printf '$ %soverhear run build\n' "${shown_env:-}"
    overhear run --summarize "$summary" build || fail "overhear run build exited with $?"
    [ "$(field status)" = "$1" ] || fail "expected $1, but it was: $(field status) $(field reason.kind)"
    [ "$(field reason.kind)" = "${2:-}" ] || fail "expected the reason ${2:-none}, but it was $(field reason.kind)"
    named=$(field reason.path)$(field reason.name)
    [ "$named" = "${3:-}" ] || fail "expected the reason to name ${3:-nothing}, but it named $named"
    [ -z "$(field not_stored.kind)" ] || fail "the run was not stored: $(field not_stored.kind)"
}

say "1. Cold: the command runs"
expect ran not_found
cp -R dist "$before"

say "2. Nothing changed: the command is not started"
expect fresh

say "3. The outputs are deleted: they are put back"
run rm -rf dist
expect restored
diff -r dist "$before" || fail "what was put back is not what the build had made"

say "4. A source is edited: the command runs, and the reason is said"
run sed -i s/Doing/Waiting/ src/columns.js
expect ran input_modified src/columns.js
if diff -rq dist "$before" >/dev/null; then fail "the edit did not reach the outputs"; fi

say "5. The edit is undone: a hit again, and no file of the other build is left"
run sed -i s/Waiting/Doing/ src/columns.js
expect restored
diff -r dist "$before" || fail "what was put back is not what the build had made"

say "6. NODE_ENV is another one: the command runs, and the variable is named"
shown_env='NODE_ENV=development '
NODE_ENV=development
export NODE_ENV
expect ran env_added NODE_ENV

say "7. And it is as before: a hit"
unset NODE_ENV shown_env
expect restored
diff -r dist "$before" || fail "what was put back is not what the build had made"

say "The main job works: cold, fresh, restored, miss and hit, each with its reason."
