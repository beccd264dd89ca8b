//! overhear in this process, with a tool that is played: everything is as in a real run but the processes
//! and the tracer, so far more sequences fit into the same time.

use crate::io::Io;
use crate::tool;
use overhear::adapter::{Adapters, Memo};
use overhear::digest::Digest;
use overhear::event::{Event, Stream};
use overhear::fingerprint::Digests;
use overhear::path::Places;
use overhear::plan::env::Runner;
use overhear::plan::{self, Request, TaskSpec};
use overhear::process::{Commands, Ended, Launch, Mode, Running, SpawnError};
use overhear::report::{All, Reporter, Summary};
use overhear::session::{self, End, Options};
use overhear::step::{self, Shared};
use overhear::store::Store;
use overhear::trace::preload;
use overhear::workspace::Workspace;
use overhear::zone::Zones;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What a run came to.
pub struct Played {
    pub out: Vec<u8>,
    pub err: Vec<u8>,
    pub code: i32,
    /// As `--summarize` writes it.
    pub document: serde_json::Value,
}

/// `overhear run` of one task.
pub fn run(root: &Path, env: &BTreeMap<String, String>, task: &str, force: bool) -> Result<Played, String> {
    let workspace = Workspace::load(root).map_err(|problems| format!("{problems:?}"))?;
    let request =
        Request { tasks: TaskSpec::parse_list(task), from_dir: root.to_path_buf(), ..Request::default() };
    let plan = plan::make(&workspace, &request).map_err(|problems| format!("{problems:?}"))?;
    let settings = workspace.settings();
    let (store, _) = Store::open(root, None).map_err(|error| error.to_string())?;
    let (adapters, _) = Adapters::of(&[], root, Arc::new(NoMemo), None, false);
    let zones = Zones {
        places: Places { root: root.to_path_buf(), home: root.parent().map(|base| base.join("home")) },
        temp: Vec::new(),
        own: vec![root.join(overhear::store::FOLDER)],
    };
    let path = ("PATH".into(), std::env::var_os("PATH").unwrap_or_default());
    let vars: Vec<_> = env.iter().map(|(name, value)| (name.into(), value.into())).chain([path]).collect();
    let runner = Runner::new(vars, root, preload::trouble().is_none());
    let shared = Shared {
        store: Ok(&store),
        adapters: &adapters,
        zones: &zones,
        runner: &runner,
        from_dir: root,
        defaults: &settings.cache,
        mode: if force { step::Mode::Force } else { step::Mode::Normal },
        digests: &Digests::default(),
        named: step::NamedFiles::new(runner.variables()),
        commands: &Tool { env },
        running: &Running::new(),
        gives_terminal: false,
        shows_colors: false,
        told: Mutex::default(),
        unused: Mutex::default(),
        together: Arc::default(),
    };
    let (mut summary, mut printed) = (Summary::default(), Printed::default());
    let options = Options { concurrency: 1, keep_going: false };
    let end = session::run(&plan, &shared, options, &[], None, &mut All(vec![&mut summary, &mut printed]));
    let End::Code(code) = end else { return Err("it wants to plan again".to_owned()) };
    let document = serde_json::to_value(summary.document()).map_err(|error| error.to_string())?;
    Ok(Played { out: printed.out, err: printed.err, code, document })
}

/// Plays every command.
struct Tool<'a> {
    env: &'a BTreeMap<String, String>,
}

impl Commands for Tool<'_> {
    fn run(
        &self,
        launch: &Launch,
        _mode: Mode,
        _running: &Running,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Ended, SpawnError> {
        let began = Instant::now();
        let io = Io::played(&launch.cwd, self.env.clone());
        // A step that was made shorter is `true`.
        let script = launch.args.last().and_then(|script| script.to_str());
        let exit_code = script.map_or(0, |script| i32::from(tool::run(script, &io)));
        for (stream, printed) in [(Stream::Out, io.out.take()), (Stream::Err, io.err.take())] {
            if !printed.is_empty() {
                output(stream, &printed);
            }
        }
        Ok(Ended {
            exit_code,
            signal: None,
            took: began.elapsed(),
            observed: Some(io.observed()),
            interrupted: false,
            left_running: false,
        })
    }
}

/// What commands print.
#[derive(Default)]
struct Printed {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Reporter for Printed {
    fn event(&mut self, event: &Event) {
        if let Event::Printed { stream, bytes, .. } = event {
            match stream {
                Stream::Out => self.out.extend(bytes),
                Stream::Err => self.err.extend(bytes),
            }
        }
    }
}

struct NoMemo;

impl Memo for NoMemo {
    fn get(&self, _: Digest) -> Option<Vec<u8>> {
        None
    }

    fn put(&self, _: Digest, _: &[u8]) {}
}
