#!/usr/bin/env python3
"""Side-by-side benchmark of task runners on generated workspaces (see gen.py, README.md).

  compare.py --peers DIR [--overhear BIN] [-n 1,10,100] [--rounds 7] [--json OUT.json]

Every measured run is followed by a byte-for-byte check of every package's dist/ against a
direct run (no task runner) of the same state; a peer whose tree differs even once in a
scenario is marked WRONG there, with the reason: missing, differs, extra (stale left over), or
rc (it exited non-zero).
"""
import argparse, copy, hashlib, json, os, re, shutil, signal, statistics, subprocess, sys, tempfile, threading, time, uuid
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import gen

SCENARIOS = ["cold", "warm", "restore", "leaf", "root", "branch"]
BENCH_ID = "bench-" + uuid.uuid4().hex[:12]


class Peer:
    """argv: the command; caches: paths (globs) to wipe for cold and to weigh afterwards."""
    def __init__(self, nm, argv, caches, env=None, gen_args=None, start=None, stop=None, links=(), restores=True):
        self.name, self.argv, self.caches, self.env = nm, argv, caches, env or {}
        self.gen_args, self.start, self.stop, self.links = gen_args or {}, start, stop, links
        self.restores = restores


# what each runner says about itself in its last lines: (pattern, groups -> tasks really executed)
RAN = {
    "turbo": (r"Cached:\s+(\d+) cached, (\d+) total", lambda a, b: b - a),
    "nx": (r"Cache:\s+(\d+)/(\d+) hit", lambda a, b: b - a),
    "moon": (r"Tasks: (\d+) completed(?: \((\d+) cached\))?", lambda a, b: a - b),
    "wireit": (r"Ran (\d+) scripts? and skipped (\d+)", lambda a, b: a),
    "lage": (r"success: (\d+), skipped: (\d+)", lambda a, b: a),
    "vp": (r"(\d+)/(\d+) cache hit", lambda a, b: b - a),
    "ninja": (r"\[(\d+)/(\d+)\]", lambda a, b: b),
}


def executed(peer, log):
    """Tasks that the runner says it ran in its last run, or None where it does not say."""
    k = peer.split("-")[0]
    if k == "shell":
        return None
    rx, f = RAN.get(k, RAN["vp"])
    try:
        with open(log, errors="replace") as fh:
            text = re.sub(r"\x1b\[[0-9;]*m", "", fh.read())
    except OSError:
        return None
    if k == "ninja" and "no work to do" in text:
        return 0
    if k == "overhear":     # one line for each step that was started, with the reason
        return len(re.findall(r"^\S+#\S+ +(?:miss|forced|not cached): ", text, re.M))
    m = re.findall(rx, text)
    if not m:
        return None
    return f(int(m[-1][0]), int(m[-1][1] or 0))


def find_peers(d, jobs, overhear, overhear_args, overhear_caches):
    nm = os.path.join(d, "node_modules")
    vpd = os.path.join(d, "vp", "node_modules")
    P = []
    J = str(jobs)
    if overhear:
        P.append(Peer("overhear", [overhear] + [x.replace("{jobs}", J) for x in overhear_args], overhear_caches,
                      {"OVERHEAR_TELEMETRY": "0"}))
    t = os.path.join(nm, "@turbo/linux-64/bin/turbo")
    if os.path.exists(t):
        P.append(Peer("turbo", [t, "run", "build", "--concurrency=" + J], [".turbo", "node_modules/.cache", "packages/*/.turbo"]))
    n = os.path.join(nm, "nx/dist/bin/nx.js")
    if not os.path.exists(n):
        n = os.path.join(nm, "nx/bin/nx.js")
    if os.path.exists(n):
        nx = ["node", "node_modules/nx/" + os.path.relpath(n, os.path.join(nm, "nx"))]
        for on in (True, False):
            P.append(Peer("nx" if on else "nx-nodaemon", nx + ["run-many", "-t", "build", "--parallel=" + J,
                                                               "--output-style=static"],
                          [".nx"], {"NX_DAEMON": "true" if on else "false", "NX_NO_CLOUD": "true", "NX_TUI": "false"},
                          links=["nx"], start=(nx + ["daemon", "--start"]) if on else None,
                          stop=(nx + ["daemon", "--stop"]) if on else None))
    m = os.path.join(nm, "@moonrepo/core-linux-x64-gnu/moon")
    if os.path.exists(m):
        P.append(Peer("moon", [m, "run", ":build", "-c", J], [".moon/cache"]))
    if os.path.exists(os.path.join(nm, "wireit")):
        P.append(Peer("wireit", ["npm", "run", "--silent", "wireit:build"], [".wireit", "packages/*/.wireit"],
                      {"WIREIT_PARALLEL": J, "WIREIT_LOGGER": "simple", "PATH+": os.path.join(nm, ".bin")}))
    if os.path.exists(os.path.join(nm, "lage")):
        P.append(Peer("lage", ["node", os.path.join(nm, ".bin/lage"), "build", "--concurrency", J],
                      ["node_modules/.cache", "packages/*/node_modules"], {"LAGE_LOGGER_REPORTER": "basic"}))
    v = os.path.join(vpd, ".bin/vp")
    if os.path.exists(v):
        P.append(Peer("vp", ["node", v, "run", "-r", "--concurrency-limit", J, "build"], ["node_modules/.vite"],
                      gen_args={"dep_spec": "workspace:*"}))
        P.append(Peer("vp-tuned", ["node", v, "run", "-r", "--concurrency-limit", J, "vp-build"], ["node_modules/.vite"],
                      gen_args={"dep_spec": "workspace:*", "vp_tuned": True}))
    P.append(Peer("shell", ["sh", ".bench/parallel.sh", J], [], restores=False))
    if shutil.which("ninja"):
        P.append(Peer("ninja", ["ninja", "-j" + J], [".ninja_log", ".ninja_deps"], restores=False))
    return P


def globs(root, pats):
    import glob
    return [p for pat in pats for p in glob.glob(os.path.join(root, pat))]


def rm(p):
    if os.path.islink(p) or os.path.isfile(p):
        os.unlink(p)
    elif os.path.isdir(p):
        shutil.rmtree(p, ignore_errors=True)


def weigh(paths):
    """(bytes allocated, files)"""
    b = n = 0
    for p in paths:
        if os.path.isdir(p):
            for dp, _, fs in os.walk(p):
                for f in fs:
                    try:
                        b += os.lstat(os.path.join(dp, f)).st_blocks * 512
                        n += 1
                    except OSError:
                        pass
        elif os.path.exists(p):
            b += os.lstat(p).st_blocks * 512
            n += 1
    return b, n


class Ws:
    """One peer's own copy of the workspace, its home and its environment."""
    def __init__(self, peer, root, a, peers_dir):
        self.peer, self.root, self.a = peer, root, a
        self.home = root + ".home"
        os.makedirs(self.home, exist_ok=True)
        ga = copy.copy(a)
        for k, v in peer.gen_args.items():
            setattr(ga, k, v)
        self.ga = ga
        self.edges, self.plan = gen.generate(ga, root)
        for l in peer.links:
            os.symlink(os.path.abspath(os.path.join(peers_dir, "node_modules", l)), os.path.join(root, "node_modules", l))
        keep = os.environ.get("PATH", os.defpath)
        self.env = {"HOME": self.home, "PATH": keep, "LANG": "C.UTF-8", "TMPDIR": tempfile.gettempdir(),
                    "XDG_CACHE_HOME": self.home + "/.cache", "XDG_CONFIG_HOME": self.home + "/.config",
                    "DO_NOT_TRACK": "1", "TURBO_TELEMETRY_DISABLED": "1", "NO_UPDATE_NOTIFIER": "1",
                    "npm_config_update_notifier": "false", "BENCH_ID": BENCH_ID, "NO_COLOR": "1"}
        for k, v in peer.env.items():
            if k.endswith("+"):
                self.env[k[:-1]] = v + ":" + self.env[k[:-1]]
            else:
                self.env[k] = v
        git = lambda *x: subprocess.run(["git", "-c", "user.name=b", "-c", "user.email=b@example.invalid", *x], cwd=root,
                                        env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        git("init", "-q", "-b", "main")
        git("add", "-A")
        git("commit", "-qm", "A")
        self.state = "A"

    def run(self, argv=None, measure=False, timeout=900):
        log = self.root + ".log"
        with open(log, "wb") as out:
            t0 = time.perf_counter()
            p = subprocess.Popen(argv or self.peer.argv, cwd=self.root, env=self.env, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT)
            killer = threading.Timer(timeout, p.kill)
            killer.start()
            _, st, ru = os.wait4(p.pid, 0)
            t1 = time.perf_counter()
            killer.cancel()
            p.returncode = os.waitstatus_to_exitcode(st)
        return {"wall": t1 - t0, "cpu": ru.ru_utime + ru.ru_stime, "rss_kb": ru.ru_maxrss, "rc": p.returncode}

    def wipe_outputs(self):
        for p in globs(self.root, ["packages/*/dist"]):
            rm(p)

    def wipe_caches(self):
        if self.peer.stop:
            self.run(self.peer.stop)
        for p in globs(self.root, self.peer.caches):
            rm(p)
        if self.peer.start:
            self.run(self.peer.start)

    def to_state(self, s):
        if s != self.state:
            gen.apply_state(self.ga, self.root, self.edges, s, prev=self.state)
            self.state = s

    def edit(self, which, token):
        """One-file change; token None puts the original back."""
        i = self.plan[which]
        f = os.path.join(self.root, "packages", gen.name(i), "src/f000.txt")
        data = gen.src_files(self.ga, i, self.state)["src/f000.txt"]
        if token is not None:
            data = b"// edit %s\n" % token.encode() + data
        with open(f, "wb") as fh:
            fh.write(data)


def tree(root, n):
    r = {}
    for i in range(n):
        d = os.path.join(root, "packages", gen.name(i), "dist")
        for dp, _, fs in os.walk(d):
            for f in fs:
                p = os.path.join(dp, f)
                with open(p, "rb") as fh:
                    r[os.path.relpath(p, root)] = hashlib.blake2b(fh.read(), digest_size=16).digest()
    return r


class Reference:
    """The direct run: tools/build.sh in dependency order in a private copy, per distinct source state."""
    def __init__(self, root, a):
        self.a, self.root = a, root
        self.edges, self.plan = gen.generate(a, root)
        self.memo, self.state, self.edited = {}, "A", None

    def want(self, state, edit=None, token=None):
        key = (state, edit, token)
        if key in self.memo:
            return self.memo[key]
        gen.apply_state(self.a, self.root, self.edges, state, prev=self.state)
        self.state = state
        f = os.path.join(self.root, "packages", gen.name(self.plan[edit] if edit else 0), "src/f000.txt")
        if edit:
            orig = open(f, "rb").read()
            with open(f, "wb") as fh:
                fh.write(b"// edit %s\n" % token.encode() + orig)
        for i in range(self.a.packages):
            subprocess.run(gen.cmd(self.edges, i).split(), cwd=os.path.join(self.root, "packages", gen.name(i)),
                           stdout=subprocess.DEVNULL, check=True)
        self.memo[key] = tree(self.root, self.a.packages)
        if edit:
            with open(f, "wb") as fh:
                fh.write(orig)
        return self.memo[key]


def verdict(got, want, rc):
    bad = []
    if rc:
        bad.append("rc=%d" % rc)
    miss = [p for p in want if p not in got]
    diff = [p for p in want if p in got and got[p] != want[p]]
    extra = [p for p in got if p not in want]
    for nm, l in (("missing", miss), ("differs", diff), ("extra", extra)):
        if l:
            bad.append("%s=%d" % (nm, len(l)))
    return ",".join(bad)


class RssSampler(threading.Thread):
    """Peak of the summed RSS of every process that carries our BENCH_ID (tree and daemons)."""
    def __init__(self, home):
        super().__init__(daemon=True)
        self.tag = ("HOME=" + home).encode() + b"\0"
        self.peak = self.daemon = 0
        self.go = True
        self.known = {}

    def sample(self):
        tot = 0
        for e in os.listdir("/proc"):
            if not e.isdigit():
                continue
            k = self.known.get(e)
            if k is None:
                try:
                    with open("/proc/%s/environ" % e, "rb") as f:
                        k = self.tag in f.read()
                except OSError:
                    continue
                if k:
                    self.known[e] = k
            if k:
                try:
                    with open("/proc/%s/statm" % e) as f:
                        tot += int(f.read().split()[1])
                except OSError:
                    pass
        return tot * os.sysconf("SC_PAGE_SIZE") // 1024

    def run(self):
        while self.go:
            self.peak = max(self.peak, self.sample())
            time.sleep(.004)


def scenario_setup(ws, sc, rnd):
    """Bring a workspace, which is in state A and fully built, to the brink of the measured run."""
    if sc == "cold":
        ws.wipe_outputs()
        ws.wipe_caches()
    elif sc == "restore":
        ws.wipe_outputs()
    elif sc in ("leaf", "root"):
        ws.edit(sc, "%s%d" % (sc, rnd))
    elif sc == "branch":
        ws.to_state("B")
        ws.run()
        ws.to_state("A")


def scenario_want(ref, sc, rnd):
    return ref.want("A", sc, "%s%d" % (sc, rnd)) if sc in ("leaf", "root") else ref.want("A")


def scenario_after(ws, sc, heal):
    """Back to state A, fully built.  A wrong tree is healed by wiping outputs, so that errors do not carry over."""
    if sc in ("leaf", "root"):
        ws.edit(sc, None)
    if heal:
        ws.wipe_outputs()
    if heal or sc in ("leaf", "root"):
        ws.run()


def kill_tagged():
    """End what our own runs left behind (daemons), found by the tag that only our children carry."""
    for e in os.listdir("/proc"):
        if e.isdigit() and int(e) != os.getpid():
            try:
                with open("/proc/%s/environ" % e, "rb") as f:
                    if ("BENCH_ID=" + BENCH_ID).encode() in f.read().split(b"\0"):
                        os.kill(int(e), signal.SIGTERM)
            except OSError:
                pass


def med(x):
    return statistics.median(x) if x else float("nan")


def fmt(sec):
    return "%.0f ms" % (sec * 1e3) if sec < 9.95 else "%.1f s" % sec


def floors(ws, rounds, work):
    """Physical floors on this workspace: process start, hashing every input, unpacking every output, cp -r."""
    root = ws.root
    lst = os.path.join(work, "inputs.list")
    ins = []
    for dp, dn, fs in os.walk(root):
        dn[:] = [d for d in dn if d not in ("dist", "node_modules", ".git", ".bench", ".turbo", ".nx", ".wireit", ".moon")]
        ins += [os.path.join(dp, f) for f in fs]
    with open(lst, "w") as f:
        f.write("\0".join(ins))
    tar = os.path.join(work, "dist.tar.zst")
    subprocess.run("find packages -path '*/dist/*' -type f -print0 | tar --null -T - --zstd -cf " + tar, shell=True,
                   cwd=root, check=True)
    tmp = os.path.join(work, "floor")
    c = {"true": (["true"], None), "node -e 0": (["node", "-e", "0"], None),
         "npm run noop": (["npm", "run", "--silent", "noop"], None),
         "git status": (["git", "status", "--porcelain"], None),
         "stat inputs": (["sh", "-c", "xargs -0 stat -c %%Y <%s >/dev/null" % lst], None)}
    if shutil.which("xxhsum"):
        c["xxh128 inputs"] = (["sh", "-c", "xargs -0 xxhsum -H2 -q <%s >/dev/null" % lst], None)
    if shutil.which("b3sum"):
        c["blake3 inputs"] = (["sh", "-c", "xargs -0 b3sum --num-threads 1 <%s >/dev/null" % lst], None)
    c["tar --zstd -x outputs"] = (["tar", "--zstd", "-xf", tar, "-C", tmp], tmp)
    c["cp -r outputs"] = (["sh", "-c", "cd packages && cp -r --parents */dist " + tmp], tmp)
    res = {k: [] for k in c}
    for r in range(rounds):
        for k, (argv, clean) in c.items():
            if clean:
                shutil.rmtree(clean, ignore_errors=True)
                os.makedirs(clean)
            res[k].append(ws.run(argv)["wall"])
    # the direct, serial build: no task runner at all
    script = "".join("(cd packages/%s && %s >/dev/null) &&\n" % (gen.name(i), gen.cmd(ws.edges, i))
                     for i in range(ws.a.packages)) + "true\n"
    sp = os.path.join(work, "direct.sh")
    open(sp, "w").write(script)
    res["direct serial build"] = [ws.run(["sh", sp])["wall"] for _ in range(max(1, min(3, rounds)))]
    return {k: med(v) for k, v in res.items()}


def main():
    ap = gen.parser()
    ap.description, ap.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    ap.set_defaults(packages=0)
    ap.add_argument("--peers", required=True, help="directory made by install_peers.sh")
    ap.add_argument("--overhear", help="path of the overhear binary")
    ap.add_argument("--overhear-args", default="run -r --concurrency-limit {jobs} build")
    ap.add_argument("--overhear-caches", default=".overhear,node_modules/.overhear,node_modules/.vite")
    ap.add_argument("--overhear-dep-spec", default="*")
    ap.add_argument("-n", dest="sizes", default="1,10,100", help="package counts, comma separated (1000 is slow)")
    ap.add_argument("--only", help="comma-separated peers")
    ap.add_argument("--skip", default="", help="comma-separated peers to leave out")
    ap.add_argument("--scenarios", default=",".join(SCENARIOS))
    ap.add_argument("--rounds", type=int, default=7)
    ap.add_argument("--cold-rounds", type=int, default=3)
    ap.add_argument("--jobs", type=int, default=2, help="concurrency asked of every runner")
    ap.add_argument("--ref", help="peer that ratios are against (default overhear, else turbo, else the first)")
    ap.add_argument("--no-rss", action="store_true", help="skip the extra unmeasured runs that sample memory")
    ap.add_argument("--work", help="scratch directory (default: a new temporary one)")
    ap.add_argument("--keep", action="store_true")
    ap.add_argument("--json", help="write every sample here")
    a = ap.parse_args()
    a.overhear = os.path.abspath(a.overhear) if a.overhear else None
    allp = find_peers(os.path.abspath(a.peers), a.jobs, a.overhear, a.overhear_args.split(), a.overhear_caches.split(","))
    for p in allp:
        if p.name == "overhear":
            p.gen_args = {"dep_spec": a.overhear_dep_spec}
    if a.only:
        allp = [p for p in allp if p.name in a.only.split(",")]
    allp = [p for p in allp if p.name not in a.skip.split(",")]
    if not allp:
        raise SystemExit("no peer found in " + a.peers)
    names = [p.name for p in allp]
    refname = a.ref or ("overhear" if "overhear" in names else "turbo" if "turbo" in names else names[0])
    work = os.path.abspath(a.work or tempfile.mkdtemp(prefix="bench-"))
    os.makedirs(work, exist_ok=True)
    out = {"args": {k: v for k, v in vars(a).items() if k not in ("peers", "overhear", "work", "json")}, "sizes": {}}
    try:
        for n in [int(x) for x in a.sizes.split(",")]:
            ga = copy.copy(a)
            ga.packages = n
            base = os.path.join(work, "n%d" % n)
            shutil.rmtree(base, ignore_errors=True)
            os.makedirs(base)
            ref = Reference(os.path.join(base, "direct"), ga)
            wss = [Ws(p, os.path.join(base, p.name), ga, a.peers) for p in allp]
            res = {p.name: {"cache_bytes": 0, "cache_files": 0, "scenarios": {}} for p in allp}
            for ws in wss:          # first run ever: plugin downloads, daemons, home directories
                if ws.peer.start:
                    ws.run(ws.peer.start)
                r = ws.run()
                v = verdict(tree(ws.root, n), ref.want("A"), r["rc"])
                if v:
                    print("n=%d %s: first run: %s (log %s)" % (n, ws.peer.name, v, ws.root + ".log"), file=sys.stderr)
                b, f = weigh(globs(ws.root, ws.peer.caches))
                res[ws.peer.name].update(cache_bytes=b, cache_files=f, first=v)
            for sc in a.scenarios.split(","):
                rounds = a.cold_rounds if sc == "cold" else a.rounds
                if sc == "root" and n >= 100:
                    rounds = max(1, min(rounds, a.cold_rounds))
                for r in range(-1, rounds):           # round -1 warms up (not for cold: the first run did)
                    if r < 0 and (sc == "cold" or n >= 100 or (sc == "root" and n >= 10)):
                        continue
                    k = max(r, 0) % len(wss)
                    for ws in wss[k:] + wss[:k]:
                        scenario_setup(ws, sc, r)
                        m = ws.run()
                        m["executed"] = executed(ws.peer.name, ws.root + ".log")
                        m["verdict"] = verdict(tree(ws.root, n), scenario_want(ref, sc, r), m["rc"])
                        if r >= 0:
                            res[ws.peer.name]["scenarios"].setdefault(sc, []).append(m)
                        scenario_after(ws, sc, bool(m["verdict"]))
                if not a.no_rss and not (n >= 100 and sc in ("cold", "root", "branch")):   # memory, in runs of its own
                    for ws in wss:
                        scenario_setup(ws, sc, 1000)
                        s = RssSampler(ws.home)
                        s.start()
                        m = ws.run()
                        s.go = False
                        s.join()
                        left = s.sample()
                        res[ws.peer.name].setdefault("rss", {})[sc] = {"tree_peak_kb": s.peak, "left_running_kb": left}
                        scenario_after(ws, sc, sc == "branch")
                print_table(n, sc, res, names, refname)
            out["sizes"][n] = {"peers": res, "floors": floors(wss[0], a.rounds, base), "plan": {
                k: ref.plan[k] for k in ("root_dependents", "leaf_dependents", "branch_packages")}}
            print("\nn=%d floors: %s" % (n, ", ".join("%s %.1f ms" % (k, v * 1e3)
                                                    for k, v in out["sizes"][n]["floors"].items())))
            print("n=%d cache on disk after one build: %s\n" % (n, ", ".join(
                "%s %.0f KiB/%d files" % (k, v["cache_bytes"] / 1024, v["cache_files"]) for k, v in res.items())))
            sys.stdout.flush()
            for ws in wss:
                if ws.peer.stop:
                    ws.run(ws.peer.stop)
            if a.json:
                with open(a.json, "w") as f:
                    json.dump(out, f, indent=1)
    finally:
        kill_tagged()
        if not a.keep and not a.work:
            shutil.rmtree(work, ignore_errors=True)


def print_table(n, sc, res, names, refname):
    print("\n## n=%d %s" % (n, sc))
    print("| peer | median | min | cpu | x %s (median of paired ratios) | tasks run | main RSS | tree RSS | left running | check |" % refname)
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---|")
    base = [m["wall"] for m in res[refname]["scenarios"][sc]]
    for nm in names:
        ms = res[nm]["scenarios"][sc]
        w = [m["wall"] for m in ms]
        ratio = med([x / y for x, y in zip(w, base)])
        bad = sorted({m["verdict"] for m in ms if m["verdict"]})
        rs = res[nm].get("rss", {}).get(sc, {})
        ran = sorted({m["executed"] for m in ms if m["executed"] is not None})
        mib = lambda k: "%.0f MiB" % (rs[k] / 1024) if k in rs else "-"
        print("| %s | %s | %s | %s | %.2f | %s | %.0f MiB | %s | %s | %s |" % (
            nm, fmt(med(w)), fmt(min(w)), fmt(med([m["cpu"] for m in ms])), ratio, "/".join(map(str, ran)) or "?",
            max(m["rss_kb"] for m in ms) / 1024, mib("tree_peak_kb"), mib("left_running_kb"),
            ("WRONG: " + "; ".join(bad)) if bad else "ok"))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
