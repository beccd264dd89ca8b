#!/usr/bin/env python3
"""What the commands cost that people wait for, against the warm run of one task.

  python3 bench/commands.py --overhear PATH [--rounds 41]

A workspace of one package with one cached script; the commands take turns in each round, so that a busy
machine slows all of them. Prints the median of each and of its ratio to the warm run. Python's standard
library only.
"""
import argparse, json, os, pathlib, statistics, subprocess, tempfile, time

COMMANDS = {
    "run, warm": ["run", "build"],
    "--help": ["--help"],
    "run --help": ["run", "--help"],
    "list": ["list"],
    "why": ["why", "build"],
    "complete": ["complete", "--", "run", "bu"],
    "completions bash": ["completions", "bash"],
}
# More than this is felt as another kind of command.
RATIO_MAX = 1.5


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--overhear", required=True)
    parser.add_argument("--rounds", type=int, default=41)
    options = parser.parse_args()
    program = str(pathlib.Path(options.overhear).resolve())
    with tempfile.TemporaryDirectory() as folder:
        app = pathlib.Path(folder, "app")
        (app / "src").mkdir(parents=True)
        for number in range(200):
            (app / "src" / f"f{number}.txt").write_text(f"{number}\n")
        manifest = {"name": "app", "scripts": {"build": "cat src/*.txt > out.txt"}}
        (app / "package.json").write_text(json.dumps(manifest))
        (app / "overhear.json").write_text('{"cache": {"scripts": true}}')
        env = {"PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder}

        def once(arguments):
            begun = time.perf_counter()
            subprocess.run([program, *arguments], cwd=app, env=env, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            return (time.perf_counter() - begun) * 1000

        once(COMMANDS["run, warm"])
        once(COMMANDS["run, warm"])
        took = {name: [] for name in COMMANDS}
        names = list(COMMANDS)
        for number in range(options.rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                took[name].append(once(COMMANDS[name]))
    warm = took["run, warm"]
    print("| command | median, ms | ratio to a warm run |\n|---|---|---|")
    for name in names:
        ratio = statistics.median(one / other for one, other in zip(took[name], warm))
        mark = "" if ratio <= RATIO_MAX else "  (more than wanted)"
        print(f"| {name} | {statistics.median(took[name]):.1f} | {ratio:.2f}{mark} |")


main()
