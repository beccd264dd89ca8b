#!/usr/bin/env python3
"""What adapters cost: a warm run with them and without, the first call of each, and their sizes.

    python3 bench/adapters.py [--pairs 40] [--cold 30]

Builds nothing but `host/examples/cold_adapter.rs`; `cargo build --release` comes before. Needs npm once.
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
OVERHEAR = TARGET / "release/overhear"
OFF = {name: False for name in ("common", "next", "nuxt", "sveltekit", "vite")}
APPS = {"vite 8": "examples/react-app", "sveltekit 2": "tests/fixtures/sveltekit2"}


def copy(app, to, config):
    shutil.copytree(ROOT / app, to, ignore=shutil.ignore_patterns("node_modules", "dist", ".overhear"))
    subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline"],
        cwd=to, check=True, stdout=subprocess.DEVNULL,
    )
    (to / "overhear.json").write_text(json.dumps({"cache": {"scripts": True}, **config}))


def run(folder, home):
    """Wall and processor time of one run, in milliseconds, and what became of its step."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home)}
    summary = folder.parent / "summary.json"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run(
        [OVERHEAR, "run", "--summarize", summary, "build"],
        cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall * 1e3, cpu * 1e3, json.loads(summary.read_text())["tasks"][0]["status"]


def spread(values):
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def warm(pairs):
    print("\n| app | with, ms | without, ms | with less without, ms | CPU: with less without, ms |\n|---|---|---|---|---|")
    for name, app in APPS.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder).resolve()
            places = {}
            for key, config in (("on", {}), ("off", {"adapters": OFF})):
                # Outside of temporary folders a workspace is not needed: one that lies there is one.
                place = folder / key / "app"
                place.parent.mkdir()
                copy(app, place, config)
                places[key] = place
                statuses = [run(place, place.parent)[2] for _ in range(4)]
                assert statuses[-1] == "fresh", (name, key, statuses)
            walls, cpus = {"on": [], "off": []}, {"on": [], "off": []}
            for pair in range(pairs):
                for key in ("on", "off") if pair % 2 else ("off", "on"):
                    wall, cpu, status = run(places[key], places[key].parent)
                    assert status == "fresh", (name, key, status)
                    walls[key].append(wall)
                    cpus[key].append(cpu)
            wall = [on - off for on, off in zip(walls["on"], walls["off"])]
            cpu = [on - off for on, off in zip(cpus["on"], cpus["off"])]
            print(f"| {name} | {spread(walls['on'])} | {spread(walls['off'])} | {spread(wall)} | {spread(cpu)} |")


def cold(rounds):
    print("\n| command | first call, ms | from the memo, ms |\n|---|---|---|")
    program = TARGET / "release/examples/cold_adapter"
    calls = {
        "vite build": ("tests/fixtures/plain-vite7", "vite", ["build"]),
        "vite build (sveltekit)": ("tests/fixtures/sveltekit2", "vite", ["build"]),
        "nuxt build": ("tests/fixtures/nuxt4", "nuxt", ["build"]),
        "next build": ("tests/fixtures/next16", "next", ["build"]),
        "tsc (a table)": ("tests/fixtures/tools", "tsc", ["-p", "tsconfig.json"]),
    }
    for name, (app, tool, words) in calls.items():
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder) / "app"
            copy(app, place, {})
            # The stamps of files that were written just now are not trusted yet.
            time.sleep(2.1)
            times = []
            for _ in range(rounds):
                done = subprocess.run([program, place, tool, *words], check=True, capture_output=True, text=True)
                times.append([int(number) / 1e6 for number in done.stdout.split()])
            print(f"| {name} | {spread([one[0] for one in times])} | {spread([one[1] for one in times])} |")


def sizes():
    built = max(TARGET.glob("release/build/overhear-*/out/built_in.rs"), key=lambda path: path.stat().st_mtime)
    print("\n| adapter | component, bytes | native code, bytes |\n|---|---|---|")
    for wasm in sorted(built.parent.glob("*.wasm")):
        print(f"| {wasm.stem} | {wasm.stat().st_size} | {wasm.with_suffix('.cwasm').stat().st_size} |")
    print(f"\nprogram: {OVERHEAR.stat().st_size / 1e6:.1f} MB")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--cold", type=int, default=30)
    args = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    print(f"{time.strftime('%Y-%m-%d')}, commit {commit.strip()}, load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "-p", "overhear", "--example", "cold_adapter", *os.environ.get("BENCH_CARGO", "").split()],
        cwd=ROOT, check=True,
    )
    sizes()
    cold(args.cold)
    warm(args.pairs)


if __name__ == "__main__":
    main()
