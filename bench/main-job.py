#!/usr/bin/env python3
"""What overhear costs and saves on the example app, whole processes, in one run.

    python3 bench/main-job.py [--rounds 15] [--overhear FILE] [--json FILE] [--strace]

Builds overhear, installs the app of examples/react-app below target/bench, and measures in rounds.
In a round every case runs once (the short ones five times), in an order that rotates, so that what
else the machine does falls on all alike. A ratio is the median of the ratios of the rounds; wall
times are for scale. Python 3 standard library only.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "bench"
APP = WORK / "app"


def build():
    """Builds overhear; gives the path of the program."""
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
    metadata = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--offline"]
    found = json.loads(subprocess.run(metadata, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    return Path(found["target_directory"]) / "release" / "overhear"


def install():
    """A fresh copy of the example with its packages."""
    shutil.rmtree(WORK, ignore_errors=True)
    left_out = shutil.ignore_patterns("node_modules", "dist", ".overhear")
    shutil.copytree(ROOT / "examples" / "react-app", APP, ignore=left_out)
    npm = ["npm", "ci", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(npm, cwd=APP, check=True)


def environment():
    """The caller's, without what would change a build."""
    dropped = ("NODE_ENV", "VITE_", "OVERHEAR_", "NODE_OPTIONS")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


class Case:
    """One command, what is done before it, and what it must end as."""

    def __init__(self, name, command, status=None, without_dist=False, times=1):
        self.name, self.command, self.status = name, command, status
        self.without_dist, self.times = without_dist, times

    def run(self, env):
        """Seconds of wall and of CPU (user and system, of the whole tree)."""
        samples = [self.once(env) for _ in range(self.times)]
        return tuple(statistics.median(values) for values in zip(*samples))

    def once(self, env):
        if self.without_dist:
            shutil.rmtree(APP / "dist", ignore_errors=True)
        nowhere = os.open(os.devnull, os.O_RDWR)
        actions = [(os.POSIX_SPAWN_DUP2, nowhere, number) for number in (0, 1, 2)]
        began = time.perf_counter()
        pid = os.posix_spawn(self.command[0], self.command, env, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - began
        os.close(nowhere)
        if status != 0:
            sys.exit(f"{self.name}: ended with status {status}")
        return wall, usage.ru_utime + usage.ru_stime

    def check(self, env):
        """Runs it once more with a summary: a figure of something else would say nothing."""
        if self.status is None:
            return
        if self.without_dist:
            shutil.rmtree(APP / "dist", ignore_errors=True)
        summary = WORK / "summary.json"
        command = self.command[:2] + ["--summarize", str(summary)] + self.command[2:]
        subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found = json.loads(summary.read_text())["tasks"][0]["status"]
        if found != self.status:
            sys.exit(f"{self.name}: expected {self.status}, but it was {found}")


def cases(overhear):
    node, true = shutil.which("node"), shutil.which("true")
    vite = str(APP / "node_modules" / ".bin" / "vite")
    run = [str(overhear), "run"]
    return [
        Case("direct", [vite, "build"], without_dist=True),
        Case("run, not cached", run + ["--no-cache", "build"], "ran", without_dist=True),
        Case("run, cold", run + ["--force", "build"], "ran", without_dist=True),
        Case("run, warm", run + ["build"], "fresh", times=5),
        Case("run, restore", run + ["build"], "restored", without_dist=True, times=5),
        Case("node -e 0", [node, "-e", "0"], times=5),
        Case("true", [true], times=5),
    ]


def measure(all_cases, rounds, env):
    """Samples by case."""
    samples = {case.name: [] for case in all_cases}
    for number in range(rounds):
        shift = number % len(all_cases)
        for case in all_cases[shift:] + all_cases[:shift]:
            samples[case.name].append(case.run(env))
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return samples


def quartiles(values):
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def milliseconds(values):
    low, high = quartiles(values)
    return f"{statistics.median(values) * 1000:.1f} ({low * 1000:.1f} to {high * 1000:.1f})"


def ratio(samples, name, reference, which):
    pairs = zip(samples[name], samples[reference])
    ratios = [sample[which] / other[which] for sample, other in pairs]
    low, high = quartiles(ratios)
    return f"{statistics.median(ratios):.3f} ({low:.3f} to {high:.3f})"


def table(samples):
    lines = ["| command | wall, ms | CPU, ms |", "|---|---|---|"]
    for name, values in samples.items():
        wall, cpu = zip(*values)
        lines.append(f"| {name} | {milliseconds(wall)} | {milliseconds(cpu)} |")
    lines += ["", "| ratio | wall | CPU |", "|---|---|---|"]
    for name, reference in [
        ("run, not cached", "direct"),
        ("run, cold", "direct"),
        ("run, cold", "run, not cached"),
        ("run, warm", "direct"),
        ("run, warm", "node -e 0"),
        ("run, warm", "true"),
        ("run, restore", "direct"),
    ]:
        wall, cpu = (ratio(samples, name, reference, which) for which in (0, 1))
        lines.append(f"| {name} / {reference} | {wall} | {cpu} |")
    return "\n".join(lines)


def machine():
    """Where and when, for the head of a result."""
    git = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(git, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    node = subprocess.run(["node", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    date = datetime.date.today().isoformat()
    return (
        f"{date}, commit {commit}, {os.cpu_count()} cores {platform.machine()}, "
        f"Linux {platform.release()}, node {node}, load {load}"
    )


def system_calls(overhear, env):
    """The warm run's calls, counted by strace."""
    command = ["strace", "-f", "-c", "-U", "calls,errors,name", "-S", "calls", str(overhear), "run", "build"]
    done = subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--overhear", type=Path, help="measure this program instead of building one")
    parser.add_argument("--json", type=Path, help="write all samples to this file")
    parser.add_argument("--strace", action="store_true", help="count the system calls of the warm run as well")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("a spread needs two rounds")
    overhear = options.overhear.resolve() if options.overhear else build()
    install()
    os.chdir(APP)
    env = environment()
    all_cases = cases(overhear)
    # Once before anything is measured: fills the page cache and the store, and shows that each case
    # is what it says.
    subprocess.run([str(overhear), "run", "build"], env=env, check=True, stdout=subprocess.DEVNULL)
    for case in all_cases:
        case.run(env)
        case.check(env)
    where = machine()
    samples = measure(all_cases, options.rounds, env)
    print(f"{where}\n{options.rounds} rounds; median (quartiles)\n\n{table(samples)}")
    if options.json:
        options.json.write_text(json.dumps({"machine": where, "seconds": samples}, indent=1) + "\n")
    if options.strace:
        print(f"\n{system_calls(overhear, env)}")


if __name__ == "__main__":
    main()
