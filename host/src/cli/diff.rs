//! `overhear diff`: what differs between the closest entry of a task and the workspace as it is, line by
//! line where the earlier content is known: outputs from their archive; inputs where git has the version
//! with that digest, or where a step has made them.

use super::WhereArgs;
use super::setup::{self, Setup};
use super::why;
use crate::digest::Digest;
use crate::fingerprint::{Query, Value};
use crate::path::{Places, PortablePath};
use crate::plan::Step;
use crate::problem::{Problem, Problems};
use crate::report::{self, Change, FileDiff, StepDiff};
use crate::step::{self, Compared, Differing, Incomparable, Mode};
use crate::store::{Output, OutputKind, Recalled, Store};
use crate::workspace::{Past, Workspace};
use clap::Args;
use serde_json::json;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Larger files are named only.
const BYTES_MAX: u64 = 1 << 20;
/// Git is asked about so many files: each costs the start of a process.
const ASKED_MAX: usize = 200;

#[derive(Args)]
#[command(after_help = "\
Examples:
  overhear diff build                     since the closest entry, as `why` has it
  overhear diff web#build --search src/   only paths that contain this

Nothing is run and nothing is written. Of inputs only digests are kept: their
earlier content is shown where git has it, or where another step has made them.")]
pub struct DiffArgs {
    #[command(flatten)]
    place: WhereArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Show only paths that contain this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// The task
    #[arg(value_name = "[PKG#]TASK")]
    task: String,
    /// Arguments for it, as for `run`
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
}

/// `overhear diff`.
pub fn diff(args: &DiffArgs) -> Result<i32, Problems> {
    let from_dir = args.place.from_dir()?;
    let workspace = Workspace::load(&from_dir).map_err(|problems| problems.seen_from(&from_dir))?;
    let (plan, asked) = why::plans(&workspace, &from_dir, &args.task, &args.args)
        .map_err(|problems| problems.seen_from(&from_dir))?;
    let setup = Setup::to_look(&workspace, &from_dir);
    let shared = setup.shared(Mode::Normal, false);
    let store = setup::look(&workspace).map_err(|error| Problem::new(error.to_string()))?;
    let past = Past::of(&workspace.root);
    let places = &shared.zones.places;
    let earlier = Earlier { store: &store, past, places, asks_left: Cell::new(ASKED_MAX) };
    let mut steps = Vec::new();
    let compared = step::compare(&shared, &plan).map_err(|error| Problem::new(error.to_string()))?;
    let is_asked = |step: &Step| asked.steps.iter().any(|other| other.id.task == step.id.task);
    for (step, compared) in plan.steps.iter().zip(compared).filter(|(step, _)| is_asked(step)) {
        steps.push(match compared {
            Err(incomparable) => {
                let files = Err(why_not(&incomparable, &args.task));
                StepDiff { step: &step.id, files, left_out: 0, others: Vec::new() }
            }
            Ok(mut compared) => {
                let left_out = args.search.as_ref().map_or(0, |text| leave_out(&mut compared, text));
                let files = Ok(earlier.files(&compared));
                StepDiff { step: &step.id, files, left_out, others: compared.others }
            }
        });
    }
    if args.json {
        let task = steps.first().map(|diff| &*diff.step.task);
        let steps: Vec<_> = steps.iter().map(report::step_diff_document).collect();
        report::print(&format!("{:#}\n", json!({ "version": 1, "task": task, "steps": steps })));
    } else {
        report::print_colored(&steps.iter().map(report::step_diff_text).collect::<String>(), None);
    }
    Ok(0)
}

/// Keeps only paths that contain the text; gives how many others there were.
fn leave_out(compared: &mut Compared, text: &str) -> usize {
    let before = distinct(compared);
    compared.inputs.retain(|input| input.path.to_string().contains(text));
    compared.outputs.retain(|(output, _)| output.path.to_string().contains(text));
    before - distinct(compared)
}

/// How many paths are shown: an output that is an input too counts once.
fn distinct(compared: &Compared) -> usize {
    let inputs = compared.inputs.iter().map(|input| &input.path);
    let outputs = compared.outputs.iter().map(|(output, _)| &output.path);
    inputs.chain(outputs).collect::<BTreeSet<_>>().len()
}

fn why_not(incomparable: &Incomparable, task: &str) -> String {
    match incomparable {
        Incomparable::Uncached(why) => {
            format!("not cached, so there is nothing to compare with: {}", report::miss_in_words(why))
        }
        Incomparable::NoEntry => format!("no entry yet; run it first: overhear run {task}"),
    }
}

/// Where the content of files as they were may be found.
struct Earlier<'a> {
    store: &'a Store,
    past: Option<Past<'a>>,
    places: &'a Places,
    /// How many more files git is asked about.
    asks_left: Cell<usize>,
}

impl Earlier<'_> {
    /// Inputs, then outputs; an output that is an input too is told as an input.
    fn files(&self, compared: &Compared) -> Vec<FileDiff> {
        let names: Vec<&PortablePath> = compared.inputs.iter().map(|input| &input.path).collect();
        let then = |path: &PortablePath| compared.inputs.iter().find(|input| input.path == *path);
        let is_it = |path: &PortablePath, digest: Digest, executable: bool| {
            then(path).is_some_and(|input| input.then == Value::content(digest, executable))
        };
        let made = self.store.recall_made(&names, BYTES_MAX, &is_it);
        let inputs = compared.inputs.iter().map(|input| self.input(input, &made));
        let names: Vec<&PortablePath> = compared.outputs.iter().map(|(output, _)| &output.path).collect();
        let recalled = self.store.recall(&compared.entry, &names, BYTES_MAX);
        let outputs = compared.outputs.iter().filter(|(output, _)| then(&output.path).is_none());
        inputs.chain(outputs.map(|(output, lies)| self.output(output, *lies, &recalled))).collect()
    }

    fn input(&self, input: &Differing, made: &Recalled) -> FileDiff {
        let change = match (input.then, input.now) {
            (Value::ABSENT, _) => Change::Added,
            (_, Value::ABSENT) => Change::Removed,
            _ => Change::Modified,
        };
        let texts = self.input_texts(input, change, made);
        FileDiff { path: input.path.to_string(), is_output: false, change, texts }
    }

    fn input_texts(
        &self,
        input: &Differing,
        change: Change,
        made: &Recalled,
    ) -> Result<(String, String), String> {
        match input.query {
            Query::Content => {}
            Query::Listing(_) => return Err("other names lie in it".to_owned()),
            Query::Link => return Err("a link that leads elsewhere".to_owned()),
            Query::Kind | Query::Absent => return Err("only what kind of thing it is counts".to_owned()),
        }
        let now = self.now(&input.path, change)?;
        if change == Change::Added {
            return Ok((String::new(), now));
        }
        let is_it = |content: &[u8]| {
            let digest = Digest::of(content);
            [false, true].iter().any(|executable| Value::content(digest, *executable) == input.then)
        };
        let committed = || {
            let path = input.path.to_string();
            let is_installed = path.split('/').any(|part| part == "node_modules");
            let past = self.past.as_ref().filter(|_| input.path.is_inside() && !is_installed)?;
            self.asks_left.set(self.asks_left.get().checked_sub(1)?);
            past.version(Path::new(&path), BYTES_MAX, &is_it)
        };
        let then = made.get(&input.path).map(<[u8]>::to_vec).or_else(committed);
        let then =
            then.ok_or("its earlier content is not known (git has it not; of inputs only digests are kept)")?;
        if then == now.as_bytes() {
            return Err("only its executable bit".to_owned());
        }
        Ok((text(then)?, now))
    }

    fn output(&self, output: &Output, lies_there: bool, recalled: &Recalled) -> FileDiff {
        let change = if lies_there { Change::Modified } else { Change::Removed };
        let texts = match output.kind {
            // What a hit puts back needs no lines.
            _ if !lies_there => Err("a hit puts it back".to_owned()),
            OutputKind::Folder => Err("it was an empty folder".to_owned()),
            OutputKind::Link(_) => Err("it was a link".to_owned()),
            OutputKind::File { bytes, .. } if bytes > BYTES_MAX => Err("too large to show".to_owned()),
            OutputKind::File { .. } => self.now(&output.path, change).and_then(|now| {
                let then = recalled.get(&output.path).ok_or("its archive cannot be read")?;
                if then == now.as_bytes() {
                    return Err("only its executable bit".to_owned());
                }
                Ok((text(then.to_vec())?, now))
            }),
        };
        FileDiff { path: output.path.to_string(), is_output: true, change, texts }
    }

    /// The text that lies there.
    fn now(&self, path: &PortablePath, change: Change) -> Result<String, String> {
        if change == Change::Removed {
            return Ok(String::new());
        }
        let absolute = self.places.absolute(path);
        let meta = fs::symlink_metadata(&absolute).map_err(|error| format!("cannot be read: {error}"))?;
        if !meta.is_file() {
            return Err("no file any more".to_owned());
        }
        if meta.len() > BYTES_MAX {
            return Err("too large to show".to_owned());
        }
        text(fs::read(&absolute).map_err(|error| format!("cannot be read: {error}"))?)
    }
}

fn text(content: Vec<u8>) -> Result<String, String> {
    let text = String::from_utf8(content).ok().filter(|text| !text.contains('\0'));
    text.ok_or_else(|| "no text".to_owned())
}
