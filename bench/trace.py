#!/usr/bin/env python3
"""What tracing costs: real commands, each run directly, by the runner without tracing, and traced at each level.

    python3 bench/trace.py                  all cases, 30 rounds
    python3 bench/trace.py --rounds 5 vite  a few, of the cases whose name has "vite" in it

One round runs each way once, in turn, so that what the machine does meanwhile hits all alike; a ratio is taken within
a round. CPU is user and system time of the whole tree, the tracer included. Needs npm for the first run, git and gcc.
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
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PACKAGES = ["vite@8", "typescript@5", "esbuild@0.28", "react@19", "react-dom@19"]
WAYS = ["direct", "off", "0", "1", "2"]


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
        "esbuild, 1,500 modules": (app / "large", [str(esbuild), "src/main.ts", "--bundle", "--outfile=es/out.js", "--log-level=error"], ["es"]),
        "git status, 5,000 files": (repo, ["git", "status", "--porcelain"], []),
        "find, 100,000 files": (work / "tree", ["find", ".", "-name", "none"], []),
        "300 x /bin/true from sh": (work, ["sh", "-c", loop], []),
    }


def once(traced, way, folder, command, outputs):
    for name in outputs:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
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


def measure(name, case, traced, rounds):
    folder, command, outputs = case
    runs = {way: [] for way in WAYS}
    for way in WAYS:
        once(traced, way, folder, command, outputs)
    for _ in range(rounds):
        for way in random.sample(WAYS, len(WAYS)):
            runs[way].append(once(traced, way, folder, command, outputs))
    direct = statistics.median(run["cpu"] for run in runs["direct"])
    cells = [name, f"{direct:.0f}"]
    for way in WAYS[1:]:
        ratios = {kind: [run[kind] / base[kind] for run, base in zip(runs[way], runs["direct"])] for kind in ("cpu", "wall")}
        cells.append(f"{spread(ratios['cpu'])}; {statistics.median(ratios['wall']):.2f}")
    against = [run["cpu"] / base["cpu"] for run, base in zip(runs["2"], runs["off"])]
    cells.append(spread(against))
    cells.append(" / ".join(str(runs[way][-1]["told"]) for way in ("0", "1", "2")))
    print("| " + " | ".join(cells) + " |", flush=True)
    if "true" in name:
        each = [(run["cpu"] - base["cpu"]) / 300 for run, base in zip(runs["2"], runs["0"])]
        print(f"each /bin/true: {statistics.median(each):+.3f} ms over level 0", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="?", default="", help="cases with this in their name")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--work", type=Path, default=TARGET / "bench/trace")
    parser.add_argument("--no-build", action="store_true", help="measure what was built before")
    options = parser.parse_args()
    traced = TARGET / "release/examples/traced" if options.no_build else build()
    cases = prepare(options.work.resolve())
    print("CPU ratio to direct: median (quartiles); median of wall. *2 / off*: level 2 to the runner without tracing.\n")
    print("| case | direct, ms CPU | off | level 0 | level 1 | level 2 | 2 / off | told at 0 / 1 / 2 |\n|---|---|---|---|---|---|---|---|")
    for name, case in cases.items():
        if options.only in name:
            measure(name, case, traced, options.rounds)


if __name__ == "__main__":
    main()
