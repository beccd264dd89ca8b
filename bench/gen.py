#!/usr/bin/env python3
"""Deterministic generator of a JS-shaped monorepo with side-by-side task runner configs.

Python 3 standard library only.  Same arguments => same bytes.

  gen.py OUT --packages 100 --files 20 --graph layered --seed 1 [--check]

Layout
  tools/build.sh            the "compiler": POSIX sh, a few forks, no node
  packages/pNNNN/src/*.txt  plain inputs, all of them go into every output
  packages/pNNNN/src/*.ent  entries; one output dist/<entry>.out each
  packages/pNNNN/dist/deps  cksum of every direct dependency's dist (so a change travels)
  .bench/plan.json          what compare.py needs: order, edges, edits, branches

States
  A  what is generated
  B  a "branch": some packages get an edited file, one new .ent (a new output) and lose one
     .ent (an output disappears).  apply_state() switches in place, touching only what differs.
"""
import argparse, hashlib, json, os, random, shutil, sys

BUILD_SH = r"""#!/bin/sh
# build.sh [DEP...]: concatenate src/ into dist/.  Runs in a package directory.
# BENCH_PAD (bytes) comes from the file pad.size, so it is an ordinary input file.
set -eu
rm -rf dist
mkdir dist
read -r pad < src/pad.size
for e in src/*.ent; do
  o=${e##*/}; o=dist/${o%.ent}.out
  if [ "$pad" -gt 0 ]; then
    { cat "$e" src/*.txt; head -c "$pad" ../../tools/pad.bin; } > "$o"
  else
    cat "$e" src/*.txt > "$o"
  fi
done
if [ $# -gt 0 ]; then
  i=$#
  for d do set -- "$@" "../$d/dist/deps" "../$d/dist/main.out"; done
  shift "$i"
  cksum "$@" > dist/deps
else
  echo none > dist/deps
fi
echo "built ${PWD##*/}"
"""

CHECK_SH = r"""#!/bin/sh
# check.sh: reads the package's sources and its own build, writes nothing.
set -eu
cksum src/*.txt dist/* | tail -n 1
"""


def det_bytes(key, n):
    """n pseudo-random printable bytes that compress about as well as source text."""
    words = ["const", "let", "return", "export", "function", "import", "await", "=>", "{", "}",
             "if", "else", "map", "id", "value", "0", "1", "==="]
    r = random.Random(key)
    out, size = [], 0
    while size < n:
        w = r.choice(words) if r.random() < .6 else "%x" % r.getrandbits(24)
        w += "\n" if r.random() < .12 else " "
        out.append(w)
        size += len(w)
    return "".join(out).encode()[:max(n - 1, 0)] + b"\n"


def graph(kind, n, seed, fan):
    """edges[i] = sorted list of packages that i depends on; all are < i, so order is 0..n-1."""
    r = random.Random("g%s" % seed)
    e = [[] for _ in range(n)]
    if kind == "chain":
        for i in range(1, n):
            e[i] = [i - 1]
    elif kind == "fan":
        for i in range(1, n):
            e[i] = [0]
    elif kind == "layered":
        width = max(1, round(n ** .5))
        for i in range(1, n):
            lay = (i - 1) // width
            if lay == 0:
                e[i] = [0]
            else:
                lo = 1 + (lay - 1) * width
                e[i] = sorted(r.sample(range(lo, lo + width), min(fan, width)))
    elif kind == "random":
        for i in range(1, n):
            e[i] = sorted(r.sample(range(i), min(fan, i)))
    else:
        raise SystemExit("graph: " + kind)
    return e


def name(i):
    return "p%04d" % i


def w(path, data, mode=None):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if isinstance(data, str):
        data = data.encode()
    with open(path, "wb") as f:
        f.write(data)
    if mode:
        os.chmod(path, mode)


def js(obj):
    return json.dumps(obj, indent=2) + "\n"


def src_files(a, i, state):
    """{relative path: bytes} of one package's src/ in a state."""
    s = {}
    for k in range(a.files):
        s["src/f%03d.txt" % k] = det_bytes("%s/%d/%d" % (a.seed, i, k), a.file_size)
    for k in range(a.outs):
        nm = "main" if k == 0 else "e%03d" % k
        s["src/%s.ent" % nm] = "entry %s of %s\n" % (nm, name(i))
    s["src/pad.size"] = "%d\n" % a.out_pad
    if state == "B" and i in branch_packages(a):
        s["src/f000.txt"] = det_bytes("%s/%d/B" % (a.seed, i), a.file_size)
        s["src/zb.ent"] = "entry only on branch B of %s\n" % name(i)
        if a.outs > 1:
            s.pop("src/e%03d.ent" % (a.outs - 1))
    return s


def branch_packages(a):
    """Packages that branch B edits: about a tenth, at least one, always the last (a leaf)."""
    r = random.Random("b%s" % a.seed)
    k = max(1, a.packages // 10)
    return sorted(set(r.sample(range(a.packages), k - 1)) | {a.packages - 1}) if k > 1 else [a.packages - 1]


def cmd(edges, i):
    return " ".join(["sh", "../../tools/build.sh"] + [name(d) for d in edges[i]])


def ninja(a, edges, state):
    out = ["ninja_required_version = 1.7",
           "rule build", "  command = cd packages/$p && sh ../../tools/build.sh $dp >/dev/null",
           "  description = $p", ""]
    for i in range(a.packages):
        p = "packages/" + name(i)
        src = sorted(src_files_names(a, i, state))
        outs = sorted("%s/dist/%s.out" % (p, f[4:-4]) for f in src if f.endswith(".ent"))
        ins = [p + "/" + f for f in src] + ["tools/build.sh"]
        for d in edges[i]:
            ins += ["packages/%s/dist/deps" % name(d), "packages/%s/dist/main.out" % name(d)]
        out += ["build %s/dist/deps %s: build | %s" % (p, " ".join(outs), " ".join(ins)),
                "  p = " + name(i), "  dp = " + " ".join(name(d) for d in edges[i]), ""]
    return "\n".join(out)


def src_files_names(a, i, state):
    s = ["src/f%03d.txt" % k for k in range(a.files)] + ["src/pad.size"]
    ents = ["src/%s.ent" % ("main" if k == 0 else "e%03d" % k) for k in range(a.outs)]
    if state == "B" and i in branch_packages(a):
        ents.append("src/zb.ent")
        if a.outs > 1:
            ents.remove("src/e%03d.ent" % (a.outs - 1))
    return s + ents


def levels(edges):
    """The packages by the longest way to one that depends on nothing."""
    at, by = [], {}
    for i, deps in enumerate(edges):
        at.append(1 + max((at[d] for d in deps), default=-1))
        by.setdefault(at[i], []).append(i)
    return [by[k] for k in sorted(by)]


def shell(edges):
    """Every build in a valid order, as many at once as $1 says, and no task runner."""
    s = "#!/bin/sh\nset -eu\n"
    for level in levels(edges):
        s += "xargs -P \"$1\" -I{} sh -c '{}' <<'END'\n"
        s += "".join("cd packages/%s && exec %s\n" % (name(i), cmd(edges, i)) for i in level) + "END\n"
    return s


def write_configs(a, root, edges, state="A"):
    """Everything except src/.  Same for both states, but for build.ninja."""
    n = a.packages
    j = lambda *p: os.path.join(root, *p)
    w(j("tools/build.sh"), BUILD_SH, 0o755)
    w(j("tools/check.sh"), CHECK_SH, 0o755)
    w(j("tools/pad.bin"), det_bytes("pad%s" % a.seed, a.out_pad) if a.out_pad else b"")
    w(j(".gitignore"), "node_modules\ndist\n.turbo\n.nx\n.wireit\n.moon/cache\n.moon/docker\n.ninja_*\n.bench\n"
                       ".overhear\n*.log\n")
    w(j(".npmrc"), "update-notifier=false\nfund=false\naudit=false\n")

    # --- package.json, lockfile and the links that an install would make
    lock = {"": {"name": "bench-root", "version": "0.0.0", "workspaces": ["packages/*"]}}
    for i in range(n):
        nm = name(i)
        deps = {name(d): a.dep_spec for d in edges[i]}
        lock["packages/" + nm] = {"version": "1.0.0", **({"dependencies": deps} if deps else {})}
        lock["node_modules/" + nm] = {"resolved": "packages/" + nm, "link": True}
        link = j("node_modules", nm)
        os.makedirs(os.path.dirname(link), exist_ok=True)
        if not os.path.islink(link):
            os.symlink("../packages/" + nm, link)
        scripts = {"build": cmd(edges, i), "wireit:build": "wireit"}
        if a.style == "tasks":
            scripts.pop("build")
        wire = {"wireit:build": {
            "command": cmd(edges, i),
            "files": ["src/**", "../../tools/**"], "output": ["dist/**"],
            "dependencies": ["../%s:wireit:build" % name(d) for d in edges[i]]}}
        if a.check:
            if a.style != "tasks":
                scripts["check"] = "sh ../../tools/check.sh"
            scripts["wireit:check"] = "wireit"
            wire["wireit:check"] = {"command": "sh ../../tools/check.sh", "files": ["src/**", "../../tools/**"],
                                    "output": [], "dependencies": ["wireit:build"]}
        pj = {"name": nm, "version": "1.0.0", "private": True, "scripts": scripts}
        if deps:
            pj["dependencies"] = deps
        pj["wireit"] = wire
        w(j("packages", nm, "package.json"), js(pj))
        # nx: a direct command (run-commands), no npm in between
        tg = {"build": {"executor": "nx:run-commands", "options": {"command": cmd(edges, i), "cwd": "packages/" + nm}}}
        if a.check:
            tg["check"] = {"executor": "nx:run-commands",
                           "options": {"command": "sh ../../tools/check.sh", "cwd": "packages/" + nm}}
        w(j("packages", nm, "project.json"), js({"name": nm, "targets": tg}))
        # moon
        md = "language: 'unknown'\n"
        if edges[i]:
            md += "dependsOn: [%s]\n" % ", ".join("'%s'" % name(d) for d in edges[i])
        md += "tasks:\n  build:\n    command: '%s'\n" % cmd(edges, i)
        md += "    deps: ['^:build']\n    inputs: ['src/**/*', '/tools/**/*']\n    outputs: ['dist']\n"
        if a.check:
            md += ("  check:\n    command: 'sh ../../tools/check.sh'\n    deps: ['~:build']\n"
                   "    inputs: ['src/**/*', '/tools/**/*']\n")
        w(j("packages", nm, "moon.yml"), md)
        if a.vp_tuned:
            w(j("packages", nm, "vite.config.mjs"), "export default { run: { tasks: %s } };\n" % json.dumps(
                {"vp-build": {"command": cmd(edges, i),
                              "cache": {"input": [{"auto": True}, "!dist/**"], "output": ["dist/**"]}}}, indent=2))
        if a.style == "tasks":
            t = {"build": {"command": cmd(edges, i), "dependsOn": [{"task": "build", "from": "dependencies"}]}}
            if a.check:
                t["check"] = {"command": "sh ../../tools/check.sh", "dependsOn": ["build"]}
            for f in ("vite-task.json", "overhear.json"):
                w(j("packages", nm, f), js({"tasks": t}))
            w(j("packages", nm, "vite.config.mjs"), "export default { run: { tasks: %s } };\n" % json.dumps(t, indent=2))

    rootscripts = {"noop": "true", "wireit:build": "wireit"}
    rw = {"wireit:build": {"dependencies": ["./packages/%s:wireit:build" % name(i) for i in range(n)]}}
    if a.check:
        rootscripts["wireit:check"] = "wireit"
        rw["wireit:check"] = {"dependencies": ["./packages/%s:wireit:check" % name(i) for i in range(n)]}
    w(j("package.json"), js({"name": "bench-root", "version": "0.0.0", "private": True, "packageManager": a.npm,
                             "workspaces": ["packages/*"], "scripts": rootscripts, "wireit": rw}))
    w(j("package-lock.json"), js({"name": "bench-root", "version": "0.0.0", "lockfileVersion": 3, "requires": True,
                                  "packages": lock}))

    # --- turbo
    tt = {"build": {"dependsOn": ["^build"], "inputs": ["src/**"], "outputs": ["dist/**"]}}
    if a.check:
        tt["check"] = {"dependsOn": ["build"], "inputs": ["src/**"], "outputs": []}
    w(j("turbo.json"), js({"globalDependencies": ["tools/**"], "ui": "stream", "tasks": tt}))
    # --- nx
    td = {"build": {"cache": True, "dependsOn": ["^build"], "inputs": ["production", "^production", "sharedGlobals"],
                    "outputs": ["{projectRoot}/dist"]}}
    if a.check:
        td["check"] = {"cache": True, "dependsOn": ["build"], "inputs": ["production", "^production", "sharedGlobals"]}
    w(j("nx.json"), js({"namedInputs": {"sharedGlobals": ["{workspaceRoot}/tools/**/*"],
                                        "production": ["{projectRoot}/src/**/*", "{projectRoot}/package.json"]},
                        "targetDefaults": td, "neverConnectToCloud": True, "analytics": False,
                        "tui": {"enabled": False}}))
    # --- moon
    w(j(".moon/workspace.yml"), "projects: ['packages/*']\ntelemetry: false\nvcs:\n  defaultBranch: 'main'\n")
    # --- lage
    pipe = {"build": {"dependsOn": ["^build"], "inputs": ["src/**", "package.json"], "outputs": ["dist/**"]}}
    if a.check:
        pipe["check"] = {"dependsOn": ["build"], "inputs": ["src/**"], "outputs": []}
    w(j("lage.config.js"), "module.exports = %s;\n" % json.dumps(
        {"npmClient": "npm", "pipeline": pipe,
         "cacheOptions": {"environmentGlob": ["tools/**"], "outputGlob": ["dist/**"],
                          "cacheStorageConfig": {"provider": "local"}}}, indent=2))
    # --- vp (vite-plus); vite-task's own file and overhear's with the same content
    cache = {"scripts": True, "tasks": True}
    w(j("vite.config.mjs"), "export default { run: { cache: %s } };\n" % json.dumps(cache))
    w(j("vite-task.json"), js({"cache": cache}))
    w(j("overhear.json"), js({"cache": cache}))
    w(j(".bench/parallel.sh"), shell(edges), 0o755)
    w(j("build.ninja"), ninja(a, edges, state))


def apply_state(a, root, edges, state, prev=None):
    """Put src/ (and build.ninja) into a state; rewrite only files whose bytes differ."""
    bp = set(branch_packages(a))
    for i in range(a.packages):
        if prev is not None and i not in bp:
            continue
        want = src_files(a, i, state)
        base = os.path.join(root, "packages", name(i))
        if prev is not None:
            for f in os.listdir(base + "/src"):
                if "src/" + f not in want:
                    os.unlink(base + "/src/" + f)
        for f, data in want.items():
            data = data.encode() if isinstance(data, str) else data
            p = os.path.join(base, f)
            if prev is not None and os.path.exists(p) and open(p, "rb").read() == data:
                continue
            w(p, data)
    if prev is not None:
        w(os.path.join(root, "build.ninja"), ninja(a, edges, state))


def generate(a, root):
    edges = graph(a.graph, a.packages, a.seed, a.fan)
    if os.path.exists(root):
        shutil.rmtree(root)
    os.makedirs(root)
    write_configs(a, root, edges)
    apply_state(a, root, edges, "A")
    deps_of = [set() for _ in edges]
    for i in range(len(edges) - 1, -1, -1):
        for d in edges[i]:
            deps_of[d] |= {i} | deps_of[i]
    plan = {"args": vars(a), "edges": edges, "branch_packages": branch_packages(a),
            "root": 0, "leaf": a.packages - 1, "root_dependents": len(deps_of[0]),
            "leaf_dependents": len(deps_of[a.packages - 1])}
    w(os.path.join(root, ".bench/plan.json"), js(plan))
    return edges, plan


def parser():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--packages", type=int, default=100)
    p.add_argument("--files", type=int, default=20, help="source files per package")
    p.add_argument("--file-size", type=int, default=2000, help="bytes of one source file")
    p.add_argument("--outs", type=int, default=2, help="output files per package (besides dist/deps)")
    p.add_argument("--out-pad", type=int, default=0, help="bytes appended to every output file")
    p.add_argument("--graph", choices=["chain", "fan", "layered", "random"], default="layered")
    p.add_argument("--fan", type=int, default=3, help="direct dependencies per package (layered, random)")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--check", action="store_true", help="also a `check` task per package")
    p.add_argument("--style", choices=["scripts", "tasks"], default="scripts",
                   help="vp/overhear: package.json scripts with script caching, or a task file per package")
    p.add_argument("--vp-tuned", action="store_true", help="a vite.config.mjs per package with task vp-build, whose "
                   "own dist/ is declared (not an input, is an output)")
    p.add_argument("--dep-spec", default="*", help="version range of workspace dependencies; vp 1.5 orders only "
                   "`workspace:` ones, so compare.py gives it workspace:*")
    p.add_argument("--npm", default="npm@11.0.0", help="packageManager field")
    return p


if __name__ == "__main__":
    ap = parser()
    ap.add_argument("out")
    a = ap.parse_args()
    out = a.out
    del a.out
    edges, plan = generate(a, out)
    print("%s: %d packages, %d edges, %d source files" % (out, a.packages, sum(map(len, edges)),
                                                          a.packages * (a.files + a.outs + 1)))
