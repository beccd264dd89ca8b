#!/usr/bin/env python3
"""What each runner notices that nobody declared.  One package, inputs `src/**`, outputs `dist/**`.

  probe.py --peers DIR [--overhear BIN]

The task also reads a file, a directory listing, a probed (missing) file and a tool outside src/,
reads an environment variable, and writes a file outside dist/.  After each change the runner is
run again and the output is compared with what a direct run would print.
"""
import argparse, os, shutil, subprocess, sys, tempfile
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare, gen

TASK = r"""set -u
rm -rf dist; mkdir dist
{ cat src/f000.txt ../../shared/x.txt; ls ../../shared; echo "mode=${MODE:-none}"
  test -f ../../shared.cfg && echo cfg; ../../mytool.sh; } > dist/main.out
mkdir -p ../../gen; echo extra > ../../gen/extra.txt
echo built
"""


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--peers", required=True)
    ap.add_argument("--overhear")
    ap.add_argument("--overhear-args", default="run -r --concurrency-limit {jobs} build")
    ap.add_argument("--only")
    o = ap.parse_args()
    o.peers = os.path.abspath(o.peers)
    a = gen.parser().parse_args(["--packages", "1", "--files", "1", "--outs", "1"])
    gen.cmd = lambda edges, i: "sh src/b.sh"
    peers = [p for p in compare.find_peers(o.peers, 2, o.overhear and os.path.abspath(o.overhear),
                                           o.overhear_args.split(), [])
             if p.name not in ("ninja", "nx", "shell") and (not o.only or p.name in o.only.split(","))]
    work = tempfile.mkdtemp(prefix="probe-")
    cols = ["outside file", "dir listing", "probed file", "tool", "env", "undeclared output", "edited output", "stray file"]
    print("| runner | " + " | ".join(cols) + " |\n|---|" + "---|" * len(cols))
    try:
        for p in peers:
            ws = compare.Ws(p, os.path.join(work, p.name), a, o.peers)
            put = lambda f, s, m=None: gen.w(os.path.join(ws.root, f), s, m)
            put("packages/p0000/src/b.sh", TASK)
            put("shared/x.txt", "one\n")
            put("mytool.sh", "#!/bin/sh\necho tool1\n", 0o755)
            subprocess.run(["git", "add", "-A"], cwd=ws.root, check=True)
            main_out = os.path.join(ws.root, "packages/p0000/dist/main.out")
            ws.env["MODE"] = "a"

            def out():
                return open(main_out).read() if os.path.exists(main_out) else ""

            def after(word):
                ws.run()
                return "ok" if word in out() else "STALE"

            ws.run()
            ws.run()
            r = []
            put("shared/x.txt", "two\n")
            r.append(after("two\n"))
            put("shared/new.txt", "n")
            r.append(after("new.txt"))
            put("shared.cfg", "c")
            r.append(after("\ncfg\n"))
            put("mytool.sh", "#!/bin/sh\necho tool2\n", 0o755)
            r.append(after("tool2"))
            ws.env["MODE"] = "b"
            ws.run()
            r.append("ok" if "mode=b" in out() else "hidden from the task" if "mode=none" in out() else "STALE")
            shutil.rmtree(os.path.join(ws.root, "gen"))
            shutil.rmtree(os.path.dirname(main_out))
            ws.run()
            r.append("ok" if os.path.exists(os.path.join(ws.root, "gen/extra.txt")) else "MISSING")
            ws.run()
            good = out()
            with open(main_out, "a") as f:
                f.write("tamper\n")
            ws.run()
            r.append("ok" if out() == good else "LEFT")
            stray = os.path.join(os.path.dirname(main_out), "stray")
            open(stray, "w").close()
            ws.run()
            r.append("left" if os.path.exists(stray) else "removed")
            print("| %s | %s |" % (p.name, " | ".join(r)))
            sys.stdout.flush()
    finally:
        compare.kill_tagged()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
