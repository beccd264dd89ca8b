#!/usr/bin/env python3
"""What tracing costs: real commands, each run directly, by the runner without tracing, and traced at each level.

    python3 bench/trace.py                  all cases, 30 rounds, but no longer than 14 minutes (and the build)
    python3 bench/trace.py --rounds 5 vite  a few, of the cases whose name has "vite" in it

One round runs each way once, in random order, so that what the machine does meanwhile hits all alike; a ratio is taken
within a round. CPU is user and system time of the whole tree, the tracer included. What it prints is a section of
RESULTS.md. Needs npm for the first run, and git.
"""

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PACKAGES = ["vite@8", "typescript@5", "esbuild@0.28", "react@19", "react-dom@19"]
TRASH = TARGET / "bench/trace/trash"
WAYS = ["direct", "off", "0", "1", "2", "ptrace"]
# Wanted: level 2 to direct, CPU.
WANTED = {"vite": 1.03, "tsc": 1.03, "esbuild": 1.12, "git": 1.5, "find": 2.4}


def build():
    config = "profile.release.package.overhear.opt-level=3"
    command = ["cargo", "--config", config, "build", "--release", "--locked", "-p", "overhear", "--example", "traced"]
    subprocess.run(command, cwd=ROOT, check=True)
    return TARGET / "release/examples/traced"


def modules(folder, count):
    """An app of this many modules that import each other as a tree, without extensions, as people write."""
    if folder.exists():
        return
    (folder / "src").mkdir(parents=True)
    for at in range(count):
        children = [child for child in (at * 3 + 1, at * 3 + 2, at * 3 + 3) if child < count]
        lines = [f'import {{ value as v{child} }} from "./m{child}";' for child in children]
        total = " + ".join([str(at), *(f"v{child}" for child in children)])
        lines.append(f"export const value: number = {total};")
        (folder / f"src/m{at}.ts").write_text("\n".join(lines) + "\n")
    (folder / "src/main.ts").write_text('import { value } from "./m0";\nimport { createElement } from "react";\nconsole.log(value, createElement);\n')
    (folder / "index.html").write_text('<!doctype html><script type="module" src="/src/main.ts"></script>\n')
    (folder / "tsconfig.json").write_text(json.dumps({
        "compilerOptions": {"target": "es2022", "module": "esnext", "moduleResolution": "bundler", "strict": True,
                            "composite": True, "outDir": "out", "rootDir": "src", "skipLibCheck": True, "types": []},
        "include": ["src/m*.ts"], "exclude": ["src/main.ts"]}))


def files(folder, folders, each):
    if folder.exists():
        return
    for at in range(folders):
        (folder / f"d{at}").mkdir(parents=True)
        for name in range(each):
            (folder / f"d{at}/f{name}").write_text("x")


def prepare(work):
    app = work / "app"
    app.mkdir(parents=True, exist_ok=True)
    if not (app / "node_modules/vite").exists():
        (app / "package.json").write_text('{"name":"bench","private":true,"type":"module"}')
        install = ["npm", "install", "--no-audit", "--no-fund", "--silent", "--omit-lockfile-registry-resolved"]
        subprocess.run([*install, *PACKAGES], cwd=app, check=True)
    for name, count in [("small", 165), ("large", 1500)]:
        modules(app / name, count)
    repo = work / "repo"
    if not repo.exists():
        files(repo, 50, 100)
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.test"]
        for command in [["init", "-q"], ["add", "."], ["commit", "-qm", "files"]]:
            subprocess.run([*git, *command], cwd=repo, check=True)
    files(work / "tree", 1000, 100)
    node = shutil.which("node")
    bin_ = app / "node_modules"
    esbuild = next(iter(bin_.glob("@esbuild/*/bin/esbuild")))
    vite = [node, str(bin_ / "vite/bin/vite.js"), "build", "--logLevel", "error"]
    loop = "i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i+1)); done"
    return {
        "vite 8, 165 modules": (app / "small", vite, ["dist"]),
        "vite 8, 1,500 modules": (app / "large", vite, ["dist"]),
        "tsc -b, 1,500 modules, fresh": (app / "large", [node, str(bin_ / "typescript/bin/tsc"), "-b"], ["out", "tsconfig.tsbuildinfo"]),
        "esbuild, 165 modules": (app / "small", [str(esbuild), "src/main.ts", "--bundle", "--outfile=es/out.js", "--log-level=error"], ["es"]),
        "esbuild, 1,500 modules": (app / "large", [str(esbuild), "src/main.ts", "--bundle", "--outfile=es/out.js", "--log-level=error"], ["es"]),
        "git status, 5,000 files": (repo, ["git", "status", "--porcelain"], []),
        "find, 100,000 files": (work / "tree", ["find", ".", "-name", "none"], []),
        "300 x /bin/true from sh": (work, ["sh", "-c", loop], []),
    }


def put_away(folder, outputs):
    """Moved and not deleted: ext4 walks over the numbers of files that were deleted a moment ago, for each new one."""
    trash = Path(tempfile.mkdtemp(dir=TRASH))
    for name in outputs:
        if (folder / name).exists():
            (folder / name).rename(trash / name)


def once(traced, way, folder, command, outputs):
    put_away(folder, outputs)
    whole = command if way == "direct" else [str(traced), way, *command]
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ended = subprocess.run(whole, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode != 0:
        sys.exit(f"{command} ({way}): {ended.stderr.decode()}")
    told = json.loads(ended.stderr.decode().strip().splitlines()[-1]) if way != "direct" else {}
    if told.get("incomplete"):
        sys.exit(f"{command} ({way}): {told['incomplete']}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu": cpu * 1000, "wall": wall * 1000, **told}


def spread(values):
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return f"{statistics.median(values):.3f} ({low:.3f} to {high:.3f})"


def measure(name, case, traced, rounds, deadline):
    folder, command, outputs = case
    runs = {way: [] for way in WAYS}
    for way in WAYS:
        once(traced, way, folder, command, outputs)
    while len(runs["2"]) < rounds and (len(runs["2"]) < 3 or time.monotonic() < deadline):
        for way in random.sample(WAYS, len(WAYS)):
            runs[way].append(once(traced, way, folder, command, outputs))
    direct = statistics.median(run["cpu"] for run in runs["direct"])
    wanted = next((f"{ratio:.2f}" for part, ratio in WANTED.items() if part in name), "")
    cells = [name, str(len(runs["2"])), f"{direct:.0f}"]
    for way in WAYS[1:]:
        ratios = {kind: [run[kind] / base[kind] for run, base in zip(runs[way], runs["direct"])] for kind in ("cpu", "wall")}
        cells.append(f"{spread(ratios['cpu'])}; {statistics.median(ratios['wall']):.2f}")
    against = [run["cpu"] / base["cpu"] for run, base in zip(runs["2"], runs["off"])]
    cells += [wanted, spread(against), " / ".join(str(runs[way][-1]["told"]) for way in ("0", "1", "2"))]
    print("| " + " | ".join(cells) + " |", flush=True)
    if "true" not in name:
        return ""
    each = [(run["cpu"] - base["cpu"]) / 300 for run, base in zip(runs["2"], runs["0"])]
    return f"Each /bin/true costs {spread(each)} ms more at level 2 than at level 0; wanted is 0.05.\n"


def memory(traced, folder):
    """The greatest resident size of the whole runner, with a hundred thousand distinct paths, at each level."""
    peaks = {way: once(traced, way, folder, ["du", "-s", "."], [])["peak"] for way in ("off", "0", "2")}
    return "Memory of the runner, `du` of 100,000 files: " + ", ".join(f"{way}: {peak}" for way, peak in peaks.items()) + "; wanted is 50 MB.\n"


def machine():
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    load = " ".join(f"{load:.1f}" for load in os.getloadavg())
    return f"{time.strftime('%Y-%m-%d')}, commit {commit}, {os.cpu_count()} cores {os.uname().machine}, Linux {os.uname().release}, load {load}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="?", default="", help="cases with this in their name")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=14, help="fewer rounds where it would take longer")
    parser.add_argument("--work", type=Path, default=TARGET / "bench/trace")
    parser.add_argument("--no-build", action="store_true", help="measure what was built before")
    options = parser.parse_args()
    traced = TARGET / "release/examples/traced" if options.no_build else build()
    work = options.work.resolve()
    shutil.rmtree(TRASH, ignore_errors=True)
    TRASH.mkdir(parents=True)
    cases = {name: case for name, case in prepare(work).items() if options.only in name}
    print(f"## What tracing costs\n\n`python3 bench/trace.py` on {machine()}\n")
    print("CPU ratio to direct: median (quartiles); median of wall. *off* is the runner without tracing, *2 / off* level 2 to that.\n")
    heads = ["case", "rounds", "direct, ms CPU", "off", "level 0", "level 1", "level 2", "ptrace", "wanted", "2 / off", "told at 0 / 1 / 2"]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads), flush=True)
    began, notes = time.monotonic(), ""
    for at, (name, case) in enumerate(cases.items()):
        deadline = began + options.minutes * 60 * (at + 1) / len(cases)
        notes += measure(name, case, traced, options.rounds, deadline)
    if not options.only:
        notes += memory(traced, work / "tree")
    print(f"\n{notes}\nLoad at the end: {' '.join(f'{load:.1f}' for load in os.getloadavg())}")


if __name__ == "__main__":
    main()
