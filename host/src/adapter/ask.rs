//! The questions that an adapter asks of the workspace: answered beneath the root, within what the
//! adapter may read, and each recorded with what shows later that its answer still holds.

use super::Call;
use super::described::Described;
use super::fault::Wrong;
use super::patterns::{Pattern, PatternRoots};
use super::tool::{self, ToolPackage};
use crate::digest::{Digest, Fields};
use crate::memo::Memo;
use crate::stamp::{Found, Stamp, is_absence, now_ns};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Questions in one call.
const QUESTIONS_MAX: usize = 1_000;
/// Bytes of one file.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// Bytes of all answers of one call.
const ANSWERS_BYTES_MAX: u64 = 8 << 20;
/// Bytes of a path in a question.
const PATH_BYTES_MAX: usize = 4_096;

/// One question. Paths are relative to the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Which package owns the program.
    Tool,
    /// Which files of the package folder match these names.
    ConfigFiles(Vec<String>),
    /// The content of a file.
    Content(String),
    /// What kind of thing lies there.
    Kind(String),
    /// What lies directly in a folder.
    List(String),
    /// A variable.
    Env(String),
    /// How a package name resolves.
    Package(String),
}

impl fmt::Display for Question {
    /// As the interface names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Question::Tool => f.write_str("the package of the program"),
            Question::ConfigFiles(names) => write!(f, "config-files {}", names.join(" ")),
            Question::Content(path) => write!(f, "content of {path}"),
            Question::Kind(path) => write!(f, "kind of {path}"),
            Question::List(path) => write!(f, "list-dir {path}"),
            Question::Env(name) => write!(f, "env {name}"),
            Question::Package(name) => write!(f, "resolve-package {name}"),
        }
    }
}

/// Something looked at for an answer; while it looks the same, the answer holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sight {
    /// The path leads, through all links, to this file with this stamp (or to nothing).
    Leads {
        /// Where it was looked; absolute.
        path: PathBuf,
        /// Where it led.
        to: Option<PathBuf>,
        /// The stamp at the end, if it can be relied on.
        stamp: Option<StampFields>,
    },
    /// A variable's value, salted. The digest of the answer says all.
    Variable,
}

/// The fields of a [`Stamp`].
pub type StampFields = (u64, u64, u64, i64, i64, u32);

/// A question, the digest of its answer, and what was looked at for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    pub question: Question,
    pub digest: String,
    pub sights: Vec<Sight>,
}

/// Kind of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Dir,
    Symlink,
    Other,
}

/// Folders of a call, relative to the root, as adapters see them.
#[derive(Clone, Debug)]
pub struct Places {
    pub cwd: String,
    pub package_dir: String,
}

impl Places {
    /// `None` when they are no text, or outside the root: no adapter is asked then.
    pub fn of(call: Call) -> Option<Places> {
        Some(Places {
            cwd: relative(call.root, call.cwd)?,
            package_dir: relative(call.root, call.package_dir)?,
        })
    }
}

fn relative(root: &Path, path: &Path) -> Option<String> {
    let inside = path.strip_prefix(root).ok()?.to_str()?;
    Some(if inside.is_empty() { ".".into() } else { inside.into() })
}

/// Answers the questions of one call, and remembers them. Owns all it needs: it goes into the engine's
/// store while the guest runs.
pub struct Asker {
    root: PathBuf,
    places: Places,
    salt: Digest,
    may_read: Vec<Pattern>,
    env: Vec<(String, Option<String>)>,
    env_of_call: Vec<(String, Option<String>)>,
    answers: Vec<Answered>,
    answered_bytes: u64,
    /// Folders are listed from the end: who relies on an order shows it.
    is_backwards: bool,
}

impl Asker {
    /// Nothing is permitted yet but what overhear itself asks. `salt` hides values of variables;
    /// `variables` are those that any adapter could ask for: their values are taken now, as the engine's
    /// store outlives no borrow.
    pub fn new<'a>(
        call: Call,
        places: Places,
        salt: Digest,
        variables: impl Iterator<Item = &'a str>,
    ) -> Asker {
        Asker {
            root: call.root.to_owned(),
            places,
            salt,
            may_read: Vec::new(),
            env: Vec::new(),
            env_of_call: variables.map(|name| (name.to_owned(), (call.env)(name))).collect(),
            answers: Vec::new(),
            answered_bytes: 0,
            is_backwards: false,
        }
    }

    /// One without permissions or memory, to stand in while this one is lent to a store.
    pub fn empty(&self) -> Asker {
        Asker {
            root: PathBuf::new(),
            places: Places { cwd: String::new(), package_dir: String::new() },
            salt: self.salt,
            may_read: Vec::new(),
            env: Vec::new(),
            env_of_call: Vec::new(),
            answers: Vec::new(),
            answered_bytes: 0,
            is_backwards: false,
        }
    }

    /// From here on, folders are listed in another order than always.
    pub fn list_backwards(&mut self) {
        self.is_backwards = true;
    }

    /// What was asked so far, in order.
    pub fn answers(&self) -> &[Answered] {
        &self.answers
    }

    /// The folders of the call.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// From here on, this adapter asks.
    pub fn permit(&mut self, adapter: &Described) {
        let roots = PatternRoots { package: &self.places.package_dir, cwd: &self.places.cwd };
        self.may_read = adapter
            .may_read
            .iter()
            .filter_map(|(base, text)| Pattern::new(*base, text, roots).ok())
            .collect();
        let allowed = |(name, _): &&(String, Option<String>)| adapter.may_read_env.contains(name);
        self.env = self.env_of_call.iter().filter(allowed).cloned().collect();
    }

    /// What was asked, in order.
    pub fn into_answers(self) -> Vec<Answered> {
        self.answers
    }

    /// The package that owns the program.
    pub fn tool(&mut self, program: &Path, name: &str) -> Option<ToolPackage> {
        let (tool, sights) = tool::of_program(program, name);
        self.record(Question::Tool, tool::digest(tool.as_ref()), sights);
        tool
    }

    /// Files of the package folder that match, sorted, relative to the root.
    pub fn config_files(&mut self, names: &[String]) -> Vec<String> {
        if names.is_empty() {
            return Vec::new();
        }
        let (found, sight) = config_files(&self.root, &self.places.package_dir, names);
        let digest = Fields::new("config files").list(found.iter()).digest();
        self.record(Question::ConfigFiles(names.to_vec()), digest, vec![sight]);
        found
    }

    /// Content of a file that may be read.
    pub fn content(&mut self, function: &str, path: &str) -> Result<Option<String>, Wrong> {
        let path = self.admit(function, path)?;
        self.check_permission(function, &path)?;
        let absolute = self.beneath_root(function, &path)?;
        let (text, sight) = read_file(&absolute).map_err(|wrong| named(wrong, function, &path))?;
        self.spend(text.as_ref().map_or(0, |text| text.len() as u64))?;
        self.record(Question::Content(path), content_digest(text.as_deref().map(str::as_bytes)), vec![sight]);
        Ok(text)
    }

    /// Kind of what lies there.
    pub fn kind(&mut self, path: &str) -> Result<Option<Kind>, Wrong> {
        let path = self.admit("kind", path)?;
        let absolute =
            self.beneath_root("kind", parent(&path))?.join(Path::new(&path).file_name().unwrap_or_default());
        let (kind, letter) = kind_at(&absolute).map_err(|wrong| named(wrong, "kind", &path))?;
        self.record(Question::Kind(path), Digest::of(&[letter]), Vec::new());
        Ok(kind)
    }

    /// What lies directly in a folder, sorted by name.
    pub fn list(&mut self, path: &str) -> Result<Option<Vec<(String, Kind)>>, Wrong> {
        let path = self.admit("list-dir", path)?;
        self.check_permission("list-dir", &path)?;
        let absolute = self.beneath_root("list-dir", &path)?;
        let (entries, sight) = list_folder(&absolute).map_err(|wrong| named(wrong, "list-dir", &path))?;
        let bytes = entries.iter().flatten().map(|(name, _)| name.len() as u64 + 16).sum();
        self.spend(bytes)?;
        self.record(Question::List(path), list_digest(entries.as_deref()), vec![sight]);
        Ok(entries.map(|mut entries| {
            if self.is_backwards {
                entries.reverse();
            }
            entries
        }))
    }

    /// A variable that may be read.
    pub fn env(&mut self, name: &str) -> Result<Option<String>, Wrong> {
        self.count()?;
        let Some((_, value)) = self.env.iter().find(|(allowed, _)| allowed == name).cloned() else {
            return Err(Wrong::new("not-permitted", format!("env({name:?}) is not in may-read-env")));
        };
        self.spend(value.as_ref().map_or(0, |value| value.len() as u64))?;
        let digest = env_digest(&self.salt, value.as_deref());
        self.record(Question::Env(name.to_owned()), digest, vec![Sight::Variable]);
        Ok(value)
    }

    /// How a package name resolves from the package folder.
    pub fn package(&mut self, name: &str) -> Result<Option<ToolPackage>, Wrong> {
        self.count()?;
        let sound = !name.is_empty()
            && name.len() <= 214
            && !name.split('/').any(|part| matches!(part, "" | "." | ".."));
        if !sound || name.contains(['\\', '\0']) {
            return Err(Wrong::new("bad-path", format!("resolve-package({name:?}) is no name of a package")));
        }
        let from = self.root.join(&self.places.package_dir);
        let (found, sights) = tool::resolve(&from, &self.root, name);
        self.record(Question::Package(name.to_owned()), tool::digest(found.as_ref()), sights);
        Ok(found)
    }

    fn record(&mut self, question: Question, digest: Digest, sights: Vec<Sight>) {
        if !self.answers.iter().any(|known| known.question == question) {
            self.answers.push(Answered { question, digest: digest.to_string(), sights });
        }
    }

    fn count(&mut self) -> Result<(), Wrong> {
        // Repeated questions are recorded once, so they are counted by what they cost.
        self.spend(64)?;
        if self.answers.len() >= QUESTIONS_MAX {
            return Err(Wrong::new(
                "too-many-questions",
                format!("more than {QUESTIONS_MAX} questions in one call"),
            ));
        }
        Ok(())
    }

    fn spend(&mut self, bytes: u64) -> Result<(), Wrong> {
        self.answered_bytes += bytes;
        if self.answered_bytes > ANSWERS_BYTES_MAX {
            return Err(Wrong::new(
                "too-many-questions",
                format!("answers of more than {ANSWERS_BYTES_MAX} bytes in one call"),
            ));
        }
        Ok(())
    }

    /// Counts the question and normalises its path.
    fn admit(&mut self, function: &str, path: &str) -> Result<String, Wrong> {
        self.count()?;
        if path.len() > PATH_BYTES_MAX {
            return Err(Wrong::new("bad-path", format!("{function}: a path of {} bytes", path.len())));
        }
        let bad = |why: &str| Wrong::new("bad-path", format!("{function}({path:?}): {why}"));
        if path.starts_with('/') {
            return Err(bad("must be relative to the workspace root"));
        }
        if path.contains(['\0', '\\']) {
            return Err(bad("has a character that no path may have"));
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if parts.contains(&"..") {
            return Err(bad("must not have a segment `..`"));
        }
        Ok(if parts.is_empty() { ".".into() } else { parts.join("/") })
    }

    fn check_permission(&self, function: &str, path: &str) -> Result<(), Wrong> {
        if is_secret(path) {
            return Err(Wrong::new(
                "not-permitted",
                format!("{function}({path:?}): files of this name are never read"),
            ));
        }
        if self.may_read.iter().any(|pattern| pattern.matches(path)) {
            return Ok(());
        }
        Err(Wrong::new("not-permitted", format!("{function}({path:?}) is not in may-read")))
    }

    /// Where the path really lies, if that is in the workspace.
    fn beneath_root(&self, function: &str, path: &str) -> Result<PathBuf, Wrong> {
        let joined = self.root.join(path);
        match joined.canonicalize() {
            Ok(real) if !real.starts_with(&self.root) => Err(Wrong::new(
                "outside-workspace",
                format!("{function}({path:?}) leads to {}", real.display()),
            )),
            Ok(real)
                if real
                    .strip_prefix(&self.root)
                    .is_ok_and(|inside| inside.to_str().is_some_and(is_secret)) =>
            {
                Err(Wrong::new(
                    "not-permitted",
                    format!("{function}({path:?}) leads to a file that is never read"),
                ))
            }
            // As asked, not as found: what it leads to may change.
            _ => Ok(joined),
        }
    }

    /// Whether a recorded answer still holds. If only its sights have changed, they are renewed.
    pub fn still_holds(answered: &mut Answered, call: Call, places: &Places, memo: &dyn Memo) -> Held {
        let looks_same = !answered.sights.is_empty()
            && answered.sights.iter().all(|sight| matches!(sight, Sight::Leads { .. }) && sight.looks_same());
        if looks_same {
            return Held::AsSeen;
        }
        let at = |path: &String| call.root.join(path);
        let anew = match &answered.question {
            Question::Tool => {
                let (tool, sights) = tool::of_program(call.program, call.name);
                Some((tool::digest(tool.as_ref()), sights))
            }
            Question::ConfigFiles(names) => {
                let (found, sight) = config_files(call.root, &places.package_dir, names);
                Some((Fields::new("config files").list(found.iter()).digest(), vec![sight]))
            }
            Question::Content(path) => read_file(&at(path))
                .ok()
                .map(|(text, sight)| (content_digest(text.as_deref().map(str::as_bytes)), vec![sight])),
            Question::Kind(path) => {
                kind_at(&at(path)).ok().map(|(_, letter)| (Digest::of(&[letter]), Vec::new()))
            }
            Question::List(path) => list_folder(&at(path))
                .ok()
                .map(|(entries, sight)| (list_digest(entries.as_deref()), vec![sight])),
            Question::Env(name) => {
                let digest = env_digest(&super::memo::salt(memo), (call.env)(name).as_deref());
                Some((digest, vec![Sight::Variable]))
            }
            Question::Package(name) => {
                let (found, sights) = tool::resolve(&call.root.join(&places.package_dir), call.root, name);
                Some((tool::digest(found.as_ref()), sights))
            }
        };
        match anew {
            Some((digest, sights)) if digest.to_string() == answered.digest => {
                let renewed = sights != answered.sights;
                answered.sights = sights;
                if renewed { Held::SeenAnew } else { Held::AsSeen }
            }
            _ => Held::No,
        }
    }
}

/// Whether a recorded answer is still the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Yes, and nothing need be written down.
    AsSeen,
    /// Yes, but what it was seen by has changed.
    SeenAnew,
    /// No.
    No,
}

impl Sight {
    /// Looks at a path that may not be there.
    pub fn at(path: &Path) -> Sight {
        let to = path.canonicalize().ok();
        let stamp = to.as_deref().and_then(|real| real.metadata().ok()).map(|meta| Stamp::of(&meta));
        Sight::Leads { path: path.to_owned(), to, stamp: stamp.and_then(settled) }
    }

    fn looks_same(&self) -> bool {
        let Sight::Leads { path, to, stamp } = self else { return false };
        match to {
            None => path.metadata().is_err_and(|error| is_absence(&error)),
            Some(to) if to == path => stamp.is_some() && stamp_of(to) == *stamp,
            Some(to) => {
                stamp.is_some() && path.canonicalize().is_ok_and(|real| real == *to) && stamp_of(to) == *stamp
            }
        }
    }
}

fn stamp_of(path: &Path) -> Option<StampFields> {
    path.metadata().ok().map(|meta| fields(Stamp::of(&meta)))
}

fn settled(stamp: Stamp) -> Option<StampFields> {
    stamp.is_settled(now_ns()).then(|| fields(stamp))
}

/// What of a stamp is remembered.
pub fn fields(stamp: Stamp) -> StampFields {
    (stamp.dev, stamp.ino, stamp.size, stamp.mtime_ns, stamp.ctime_ns, stamp.mode)
}

/// Text of a regular file; never waits for one that is something else.
fn read_file(path: &Path) -> Result<(Option<String>, Sight), Wrong> {
    let to = path.canonicalize().ok();
    let absent = || Sight::Leads { path: path.to_owned(), to: None, stamp: None };
    let Some(real) = to else { return Ok((None, absent())) };
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let mut file: File = match OpenOptions::new().read(true).custom_flags(flags).open(&real) {
        Ok(file) => file,
        Err(error) if is_absence(&error) => return Ok((None, absent())),
        Err(error) => return Err(Wrong::new("unreadable", error.to_string())),
    };
    let meta = file.metadata().map_err(|error| Wrong::new("unreadable", error.to_string()))?;
    if !meta.is_file() {
        return Err(Wrong::new("not-a-file", "it is no regular file"));
    }
    if meta.len() > FILE_BYTES_MAX {
        return Err(Wrong::new("too-large", format!("{} bytes, the limit is {FILE_BYTES_MAX}", meta.len())));
    }
    // The stamp is of before the reading: a change during it shows at the next look.
    let stamp = settled(Stamp::of(&meta));
    let mut bytes = Vec::new();
    (&mut file)
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| Wrong::new("unreadable", error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| Wrong::new("unreadable", "it is not UTF-8"))?;
    Ok((Some(text), Sight::Leads { path: path.to_owned(), to: Some(real), stamp }))
}

fn kind_at(path: &Path) -> Result<(Option<Kind>, u8), Wrong> {
    let found = Found::at(path).map_err(|error| Wrong::new("unreadable", error.to_string()))?;
    let kind = match found {
        Found::Absent => None,
        Found::File(_) => Some(Kind::File),
        Found::Folder(_) => Some(Kind::Dir),
        Found::Link(_) => Some(Kind::Symlink),
        Found::Other => Some(Kind::Other),
    };
    Ok((kind, found.letter()))
}

type Listing = Option<Vec<(String, Kind)>>;

fn list_folder(path: &Path) -> Result<(Listing, Sight), Wrong> {
    let sight = Sight::at(path);
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if is_absence(&error) => return Ok((None, sight)),
        Err(error) => return Err(Wrong::new("unreadable", error.to_string())),
    };
    let mut list = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Wrong::new("unreadable", error.to_string()))?;
        // A name that is no text cannot be given to a guest; it is as good as not there.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let kind = match entry.file_type() {
            Ok(kind) if kind.is_file() => Kind::File,
            Ok(kind) if kind.is_dir() => Kind::Dir,
            Ok(kind) if kind.is_symlink() => Kind::Symlink,
            _ => Kind::Other,
        };
        list.push((name, kind));
    }
    list.sort_by(|one, other| one.0.as_bytes().cmp(other.0.as_bytes()));
    Ok((Some(list), sight))
}

fn config_files(root: &Path, package_dir: &str, names: &[String]) -> (Vec<String>, Sight) {
    let folder = if package_dir == "." { root.to_owned() } else { root.join(package_dir) };
    let roots = PatternRoots { package: package_dir, cwd: package_dir };
    let patterns: Vec<Pattern> = names
        .iter()
        .filter_map(|name| Pattern::new(crate::declaration::Base::Package, name, roots).ok())
        .collect();
    let Ok((Some(entries), sight)) = list_folder(&folder) else { return (Vec::new(), Sight::at(&folder)) };
    let path =
        |name: &String| if package_dir == "." { name.clone() } else { format!("{package_dir}/{name}") };
    let found = entries
        .iter()
        .filter(|(_, kind)| matches!(kind, Kind::File | Kind::Symlink))
        .map(|(name, _)| path(name))
        .filter(|path| patterns.iter().any(|pattern| pattern.matches(path)))
        .collect();
    (found, sight)
}

fn content_digest(content: Option<&[u8]>) -> Digest {
    match content {
        Some(bytes) => Fields::new("content").bytes(bytes).digest(),
        None => Fields::new("absent").digest(),
    }
}

fn list_digest(entries: Option<&[(String, Kind)]>) -> Digest {
    let Some(entries) = entries else { return Fields::new("absent").digest() };
    let mut fields = Fields::new("listing");
    fields.number(entries.len() as u64);
    for (name, kind) in entries {
        fields.bytes(name.as_bytes()).number(*kind as u64);
    }
    fields.digest()
}

fn env_digest(salt: &Digest, value: Option<&str>) -> Digest {
    let mut fields = Fields::new(if value.is_some() { "set" } else { "not set" });
    fields.bytes(salt.as_bytes()).bytes(value.unwrap_or_default().as_bytes()).digest()
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or(".", |(above, _)| above)
}

fn named(wrong: Wrong, function: &str, path: &str) -> Wrong {
    Wrong { what: format!("{function}({path:?}): {}", wrong.what), ..wrong }
}

/// Names under which secrets are kept. Their content never reaches an adapter.
fn is_secret(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let lower = name.to_ascii_lowercase();
    path.split('/').any(|part| part == ".git")
        || lower == ".env"
        || lower.starts_with(".env.")
        || matches!(
            lower.as_str(),
            ".npmrc" | ".yarnrc" | ".yarnrc.yml" | ".netrc" | ".pypirc" | "credentials"
        )
        || lower.starts_with("id_rsa")
        || lower.starts_with("id_ed25519")
        || [".pem", ".key", ".p12", ".pfx"].iter().any(|end| lower.ends_with(end))
}
