//! What a run depended on, and whether that is still so: [`Pathset`] (which paths and variables),
//! [`Values`] (what they are), and the walk that finds the present value of each.
//!
//! The comparison is pure; only [`Disk`] looks at files. It never asks who depends on what (`settle`)
//! nor keeps anything (`store`).

use crate::access::Listing;
use crate::beneath::{self, Beneath, Stop};
use crate::digest::{Digest, Fields};
use crate::environment::Environment;
use crate::git_index;
use crate::globs::{GlobPattern, Globs};
use crate::hint::EnvSelect;
use crate::path::{Places, PortablePath};
use crate::stamp::{self, Found, Stamp};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Which paths, programs and variables a run depended on, without their values. Sorted, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pathset {
    /// Paths, each with what was asked of it.
    pub paths: Vec<(PortablePath, Query)>,
    /// Programs found by searching PATH for a bare name.
    pub programs: Vec<String>,
    /// Patterns of files that count whether or not anybody was seen reading them.
    pub globs: Vec<GlobPattern>,
    /// Files that these match and that the step itself makes: they do not count. Sorted.
    pub globs_except: Vec<PortablePath>,
    /// Variables asked for.
    pub envs: Vec<EnvSelect>,
    /// An output or the log names the folder of the checkout (or the home folder): the entry holds
    /// only there.
    pub bound_to_place: bool,
}

/// What was asked of a path, and so which part of it counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Query {
    /// Content and executable bit of a file.
    Content,
    /// Only what kind of thing it is, and for a file whether it is executable.
    Kind,
    /// The names in a folder and their kinds, without these names. None where there is no folder.
    Listing(Vec<OsString>),
    /// It was not there.
    Absent,
    /// The text of a symlink.
    Link,
}

/// The value of one member of a Pathset. Comparable, and printable only as a kind.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Value(pub [u8; 32]);

const fn constant(letter: u8) -> Value {
    let mut bytes = [0; 32];
    bytes[0] = letter;
    Value(bytes)
}

impl Value {
    /// Nothing is there, or the variable is not set.
    pub const ABSENT: Value = constant(b'-');
    /// A folder.
    pub const FOLDER: Value = constant(b'd');
    /// A file of which only the kind counts.
    pub const FILE: Value = constant(b'f');
    /// The same, executable.
    pub const PROGRAM: Value = constant(b'x');
    /// A symlink of which only the kind counts.
    pub const LINK: Value = constant(b'l');
    /// A socket, a device, something unreadable, or something reached through a new symlink.
    pub const OTHER: Value = constant(b'o');

    /// The value of a file by its content.
    pub fn content(digest: Digest, executable: bool) -> Value {
        if executable {
            Value(*Fields::new("executable").bytes(digest.as_bytes()).digest().as_bytes())
        } else {
            Value(digest.0)
        }
    }

    /// The value of a symlink by its text.
    pub fn link(text: &OsStr) -> Value {
        Value(Fields::new("link").bytes(text.as_bytes()).digest().0)
    }

    /// The value of a folder by its names, without `except` (sorted).
    pub fn listing(names: &Listing, except: &[OsString]) -> Value {
        let mut fields = Fields::new("listing");
        for (name, letter) in names.iter().filter(|(name, _)| except.binary_search(name).is_err()) {
            fields.bytes(name.as_bytes()).bytes(&[*letter]);
        }
        Value(fields.digest().0)
    }

    /// The value of what lies there where only its kind counts.
    pub fn kind(found: &Found) -> Value {
        match found {
            Found::Absent => Value::ABSENT,
            Found::File(stamp) if stamp.is_executable() => Value::PROGRAM,
            Found::File(_) => Value::FILE,
            Found::Folder(_) => Value::FOLDER,
            Found::Link(_) => Value::LINK,
            Found::Other => Value::OTHER,
        }
    }
}

/// The values of all members of one Pathset, in its order: paths, programs, variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// One per path.
    pub paths: Vec<Value>,
    /// One per program.
    pub programs: Vec<Value>,
    /// Each file that the patterns match, sorted.
    pub globs: Vec<(PortablePath, Value)>,
    /// One per variable or set of variables; for a set, one per name that matched.
    pub envs: Vec<Vec<(String, Value)>>,
    /// The place, where the Pathset is bound to it.
    pub place: Option<Value>,
}

impl Values {
    /// CacheKey, Pathset and values together: what an entry is found by.
    pub fn fingerprint(&self, key: Digest, pathset: Digest) -> Digest {
        let mut fields = Fields::new("fingerprint 1");
        fields.bytes(key.as_bytes()).bytes(pathset.as_bytes());
        fields.list(self.paths.iter().map(|value| value.0));
        fields.list(self.programs.iter().map(|value| value.0));
        fields.number(self.globs.len() as u64);
        for (path, value) in &self.globs {
            fields.bytes(path.as_bytes()).bytes(&value.0);
        }
        for set in &self.envs {
            fields.number(set.len() as u64);
            for (name, value) in set {
                fields.bytes(name.as_bytes()).bytes(&value.0);
            }
        }
        fields.bytes(self.place.as_ref().map_or(&[], |value| &value.0));
        fields.digest()
    }
}

impl Pathset {
    /// Its identity.
    pub fn digest(&self) -> Digest {
        let mut fields = Fields::new("pathset 1");
        fields.number(self.paths.len() as u64);
        for (path, query) in &self.paths {
            fields.bytes(path.as_bytes());
            match query {
                Query::Content => fields.bytes(b"content"),
                Query::Kind => fields.bytes(b"kind"),
                Query::Absent => fields.bytes(b"absent"),
                Query::Link => fields.bytes(b"link"),
                Query::Listing(except) => {
                    fields.bytes(b"listing").list(except.iter().map(|name| name.as_bytes()))
                }
            };
        }
        fields.list(self.programs.iter().map(String::as_bytes));
        fields.number(self.globs.len() as u64);
        for pattern in &self.globs {
            fields.number(u64::from(pattern.exclude)).bytes(pattern.glob.as_bytes());
        }
        fields.list(self.globs_except.iter().map(PortablePath::as_bytes));
        for select in &self.envs {
            let (kind, text) = match select {
                EnvSelect::Name(text) => ("name", text),
                EnvSelect::Glob(text) => ("glob", text),
                EnvSelect::Prefix(text) => ("prefix", text),
            };
            fields.bytes(kind.as_bytes()).bytes(text.as_bytes());
        }
        fields.number(u64::from(self.bound_to_place));
        fields.digest()
    }
}

/// One member whose value differs, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A path: as stored, what of it counts, what was recorded, what is there now.
    Path(PortablePath, Query, Value, Value),
    /// A program of that name.
    Program(String),
    /// A variable: what was recorded, what it is now.
    Env(String, Value, Value),
    /// The checkout lies elsewhere.
    Place,
}

/// All members whose values differ, in the order of the Pathset. A path of which several things count
/// is named once: by its content where that differs, otherwise by the first of them.
pub fn differences(pathset: &Pathset, then: &Values, now: &Values) -> Vec<Difference> {
    let mut paths: Vec<(&PortablePath, &Query, Value, Value)> = Vec::new();
    for (((path, query), then), now) in pathset.paths.iter().zip(&then.paths).zip(&now.paths) {
        if then != now {
            paths.push((path, query, *then, *now));
        }
    }
    for (path, old, new) in differing(&then.globs, &now.globs) {
        paths.push((path, &Query::Content, old, new));
    }
    let mut named: FxHashMap<&PortablePath, usize> = FxHashMap::default();
    let mut found = Vec::new();
    for (path, query, old, new) in paths {
        let difference = Difference::Path(path.clone(), query.clone(), old, new);
        match named.get(path) {
            None => {
                named.insert(path, found.len());
                found.push(difference);
            }
            Some(at)
                if *query == Query::Content
                    && !matches!(found[*at], Difference::Path(_, Query::Content, ..)) =>
            {
                found[*at] = difference;
            }
            Some(_) => {}
        }
    }
    for ((name, then), now) in pathset.programs.iter().zip(&then.programs).zip(&now.programs) {
        if then != now {
            found.push(Difference::Program(name.clone()));
        }
    }
    for (then, now) in then.envs.iter().zip(&now.envs) {
        for (name, old, new) in differing(then, now) {
            found.push(Difference::Env(name.clone(), old, new));
        }
    }
    if then.place != now.place {
        found.push(Difference::Place);
    }
    found
}

/// Names whose values differ between two sets, each with the old and the new value.
fn differing<'a, N: Ord>(
    then: &'a [(N, Value)],
    now: &'a [(N, Value)],
) -> impl Iterator<Item = (&'a N, Value, Value)> {
    let mut values: BTreeMap<&N, (Value, Value)> = BTreeMap::new();
    then.iter()
        .for_each(|(name, value)| values.entry(name).or_insert((Value::ABSENT, Value::ABSENT)).0 = *value);
    now.iter()
        .for_each(|(name, value)| values.entry(name).or_insert((Value::ABSENT, Value::ABSENT)).1 = *value);
    values.into_iter().filter(|(_, (old, new))| old != new).map(|(name, (old, new))| (name, old, new))
}

/// Files that patterns match: the stamp where it can be trusted, and the value with it.
pub type Matched = BTreeMap<PortablePath, (Option<Stamp>, Value)>;

/// The values of what patterns match, without the files that do not count (sorted).
pub fn without(matched: Matched, except: &[PortablePath]) -> Vec<(PortablePath, Value)> {
    let counts = matched.into_iter().filter(|(path, _)| except.binary_search(path).is_err());
    counts.map(|(path, (_, value))| (path, value)).collect()
}

/// What was found when the members of a Pathset were last looked at in this checkout: for each path,
/// then for each program, the stamp (where there was a file or folder) and the value with it.
pub type Remembered = Vec<Member>;

/// What was found of one member: its stamp, where there was a file or folder and later changes are
/// certain to show in it, and its value.
pub type Member = (Option<Stamp>, Value);

/// From so many paths on, several threads look.
const THREADED_ABOVE: usize = 2048;
const THREADS_MAX: usize = 8;

/// The disk and the environment as they are now, with what the session already knows of them.
pub struct Disk<'a> {
    /// Where root and home lie.
    pub places: &'a Places,
    /// The variables that the step may be served, for `envs`.
    pub env: &'a Environment,
    /// Folders searched for programs, in order, absolute.
    pub search: &'a [PathBuf],
    /// Digests that this session has computed.
    pub digests: &'a Digests,
}

/// The present values of a Pathset.
pub struct Looked {
    /// The values.
    pub values: Values,
    /// What to remember of the paths.
    pub remembered: Remembered,
    /// Whether `remembered` differs from what was given.
    pub is_news: bool,
}

impl Disk<'_> {
    /// Finds the present value of every member. What cannot be looked at has [`Value::OTHER`]; what
    /// has an unchanged stamp is not read again.
    pub fn look(&self, pathset: &Pathset, known: &Remembered) -> Looked {
        let members = pathset.paths.len() + pathset.programs.len();
        // What is remembered of another set of members says nothing of these.
        let known: &[_] = if known.len() == members { known } else { &[] };
        let now = stamp::now_ns();
        let mut remembered = self.look_at_all(&pathset.paths, known, now);
        for (index, name) in pathset.programs.iter().enumerate() {
            remembered.push(self.program(name, known.get(pathset.paths.len() + index), now));
        }
        debug_assert_eq!(remembered.len(), members);
        let value = |(_, value): &(Option<Stamp>, Value)| *value;
        let (paths, programs) = remembered.split_at(pathset.paths.len());
        let values = Values {
            paths: paths.iter().map(value).collect(),
            programs: programs.iter().map(value).collect(),
            globs: Vec::new(),
            envs: pathset.envs.iter().map(|select| self.env.values(select)).collect(),
            place: pathset.bound_to_place.then(|| place(self.places)),
        };
        let is_news = known != remembered;
        Looked { values, remembered, is_news }
    }

    /// Looks at all paths, many of them on several threads: a look is a wait for the kernel.
    fn look_at_all(&self, paths: &[(PortablePath, Query)], known: &[Member], now: i64) -> Remembered {
        let threads = match paths.len() {
            0..THREADED_ABOVE => 1,
            _ => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(THREADS_MAX)),
        };
        let part = paths.len().div_ceil(threads).max(1);
        if threads == 1 {
            return self.look_at_some(paths, known, now);
        }
        std::thread::scope(|scope| {
            let parts: Vec<_> = paths
                .chunks(part)
                .enumerate()
                .map(|(nth, paths)| {
                    let known = known.get(nth * part..nth * part + paths.len()).unwrap_or_default();
                    scope.spawn(move || self.look_at_some(paths, known, now))
                })
                .collect();
            let mut remembered = Vec::with_capacity(paths.len());
            for found in parts {
                remembered.extend(found.join().expect("looking at files does not panic"));
            }
            remembered
        })
    }

    fn look_at_some(&self, paths: &[(PortablePath, Query)], known: &[Member], now: i64) -> Remembered {
        let mut beneath = Beneath::open(&self.places.root).ok();
        let look = |(index, (path, query)): (usize, &(PortablePath, Query))| {
            self.look_at(path, query, known.get(index), now, beneath.as_mut())
        };
        paths.iter().enumerate().map(look).collect()
    }

    /// Stored paths have no symlink on the way. A folder that has become one leads elsewhere, even if
    /// the same files are there; and what lies in a missing folder needs no look.
    fn look_at(
        &self,
        path: &PortablePath,
        query: &Query,
        known: Option<&Member>,
        now: i64,
        beneath: Option<&mut Beneath>,
    ) -> Member {
        let found = match beneath.filter(|_| path.is_inside()) {
            None => Found::at(&self.places.absolute(path)),
            Some(beneath) => {
                let (folder, name) = beneath::split(path.as_bytes());
                match beneath.enter(folder) {
                    Ok(folder) => beneath::found_in(folder, name),
                    Err(Stop::Missing | Stop::File) => return (None, absent(query)),
                    Err(Stop::Other) => return (None, Value::OTHER),
                }
            }
        };
        let Ok(found) = found else { return (None, Value::OTHER) };
        let unchanged =
            |stamp: &Stamp| known.filter(|(old, _)| old.as_ref() == Some(stamp)).map(|(_, value)| *value);
        // A stamp that may still hide a change is not handed on, so it is looked at again next time.
        let settled = |stamp: Stamp| stamp.is_settled(now).then_some(stamp);
        match (query, found) {
            (Query::Content, Found::File(stamp)) => match unchanged(&stamp) {
                Some(value) => (Some(stamp), value),
                None => match self.digests.of_file(&self.places.absolute(path), stamp) {
                    Ok((stamp, digest)) => (settled(stamp), Value::content(digest, stamp.is_executable())),
                    Err(_) => (None, Value::OTHER),
                },
            },
            (Query::Listing(except), Found::Folder(stamp)) => match unchanged(&stamp) {
                Some(value) => (Some(stamp), value),
                None => match list(&self.places.absolute(path)) {
                    Ok(names) => (settled(stamp), Value::listing(&names, except)),
                    Err(_) => (None, Value::OTHER),
                },
            },
            (Query::Link, Found::Link(text)) => (None, Value::link(&text)),
            (_, Found::Absent) => (None, absent(query)),
            (_, found) => (None, Value::kind(&found)),
        }
    }

    /// The files that patterns match, with their values. What has the stamp of `known` is not read.
    pub fn matched(&self, patterns: &[GlobPattern], known: &Matched) -> Matched {
        let now = stamp::now_ns();
        let files = Globs::new(patterns).walk(self.places).into_iter();
        let with_value = files.map(|(path, found)| {
            let member = match (found, known.get(&path)) {
                (Found::File(stamp), Some((Some(old), value))) if *old == stamp => (Some(stamp), *value),
                (Found::File(stamp), _) => self.content(&self.places.absolute(&path), stamp, now),
                (Found::Link(text), _) => (None, self.through(&self.places.absolute(&path), &text)),
                (found, _) => (None, Value::kind(&found)),
            };
            (path, member)
        });
        with_value.collect()
    }

    fn content(&self, path: &Path, stamp: Stamp, now: i64) -> (Option<Stamp>, Value) {
        match self.digests.of_file(path, stamp) {
            Ok((stamp, digest)) => {
                (stamp.is_settled(now).then_some(stamp), Value::content(digest, stamp.is_executable()))
            }
            Err(_) => (None, Value::OTHER),
        }
    }

    /// A link counts by its text and by the content that it leads to.
    fn through(&self, path: &Path, text: &OsStr) -> Value {
        let target = path.metadata().ok().filter(std::fs::Metadata::is_file);
        let content = target.and_then(|meta| self.digests.of_file(path, Stamp::of(&meta)).ok());
        match content {
            None => Value::link(text),
            Some((_, digest)) => {
                Value(Fields::new("link to").bytes(text.as_bytes()).bytes(digest.as_bytes()).digest().0)
            }
        }
    }

    /// A program found by searching counts by its content, wherever it lies.
    fn program(&self, name: &str, known: Option<&Member>, now: i64) -> Member {
        let Some((path, stamp)) = self.digests.search(self.search, name, &self.places.root) else {
            return (None, Value::ABSENT);
        };
        match known {
            Some((Some(old), value)) if *old == stamp => (Some(stamp), *value),
            _ => match self.digests.of_file(&path, stamp) {
                Ok((stamp, digest)) => (stamp.is_settled(now).then_some(stamp), Value::content(digest, true)),
                Err(_) => (None, Value::OTHER),
            },
        }
    }
}

/// A missing folder has no names, like an empty one: whether it is there is another question.
pub fn absent(query: &Query) -> Value {
    match query {
        Query::Listing(_) => Value::listing(&Vec::new(), &[]),
        _ => Value::ABSENT,
    }
}

/// The value of where the checkout and the home folder lie.
pub fn place(places: &Places) -> Value {
    let mut fields = Fields::new("place");
    fields.bytes(places.root.as_os_str().as_bytes());
    fields.bytes(places.home.as_deref().map_or(&[], |home| home.as_os_str().as_bytes()));
    Value(fields.digest().0)
}

/// The names in a folder with their kinds, sorted.
pub fn list(path: &Path) -> io::Result<Listing> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let letter = match () {
            () if kind.is_file() => b'f',
            () if kind.is_dir() => b'd',
            () if kind.is_symlink() => b'l',
            () => b'o',
        };
        names.push((entry.file_name(), letter));
    }
    names.sort();
    Ok(names)
}

fn executable_at(path: &Path) -> Option<Stamp> {
    let meta = path.metadata().ok()?;
    let stamp = Stamp::of(&meta);
    (meta.is_file() && stamp.is_executable()).then_some(stamp)
}

/// What this session has found out, for steps that ask the same.
#[derive(Default)]
pub struct Digests {
    /// Digests of files, by path and stamp.
    files: Mutex<FxHashMap<PathBuf, (Stamp, Digest)>>,
    /// Candidates for programs outside the workspace. No step of a session changes them unnoticed: a
    /// write there is a Refusal.
    programs: Mutex<FxHashMap<PathBuf, Option<Stamp>>>,
}

impl Digests {
    /// The digest of a file whose stamp was just looked up, read again only where needed. Gives the
    /// stamp that the content had while it was read.
    pub fn of_file(&self, path: &Path, stamp: Stamp) -> io::Result<(Stamp, Digest)> {
        if let Some(known) = self.known(path, &stamp) {
            return Ok((stamp, known));
        }
        // From before the reading: a change while it is read, in the same tick as the one before, shows
        // in no stamp.
        let began = stamp::now_ns();
        let (stamp, digest) = digest_file(path)?;
        if stamp.is_settled(began) {
            self.lock().insert(path.to_path_buf(), (stamp, digest));
        }
        Ok((stamp, digest))
    }

    /// The digest of that state of the file, if it was computed in this session.
    pub fn known(&self, path: &Path, stamp: &Stamp) -> Option<Digest> {
        self.lock().get(path).filter(|(known, _)| known == stamp).map(|(_, digest)| *digest)
    }

    /// The first executable file of that name in these folders, symlinks followed.
    pub fn search(&self, folders: &[PathBuf], name: &str, root: &Path) -> Option<(PathBuf, Stamp)> {
        folders.iter().find_map(|folder| {
            let path = folder.join(name);
            let stamp =
                if path.starts_with(root) { executable_at(&path) } else { self.executable_outside(&path) };
            stamp.map(|stamp| (path, stamp))
        })
    }

    fn executable_outside(&self, path: &Path) -> Option<Stamp> {
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = programs.get(path) {
            return *known;
        }
        let found = executable_at(path);
        programs.insert(path.to_path_buf(), found);
        found
    }

    fn lock(&self) -> MutexGuard<'_, FxHashMap<PathBuf, (Stamp, Digest)>> {
        // A panic elsewhere cannot leave a half-made pair behind.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a file and gives its digest with the stamp that it had before and after. A file that
/// changes again and again while it is read is an error of kind `Interrupted`.
pub fn digest_file(path: &Path) -> io::Result<(Stamp, Digest)> {
    for _ in 0..8 {
        let mut file = File::open(path)?;
        let before = Stamp::of(&file.metadata()?);
        let digest = match git_index::is_index(path) {
            true => digest_index(&mut file)?,
            false => digest_reader(&mut file, before.size)?,
        };
        if Stamp::of(&file.metadata()?) == before {
            return Ok((before, digest));
        }
    }
    Err(io::Error::new(io::ErrorKind::Interrupted, "it keeps changing while it is read"))
}

/// Of git's index only what is in it counts, not what is cached there.
fn digest_index(file: &mut File) -> io::Result<Digest> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(git_index::digest(&bytes).unwrap_or_else(|| Digest::of(&bytes)))
}

fn digest_reader(file: &mut File, size: u64) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; usize::try_from(size).unwrap_or(usize::MAX).clamp(1, 1 << 20) + 1];
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => return Ok(Digest(*hasher.finalize().as_bytes())),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_which_several_things_count_differs_once_and_by_its_content() {
        let path = |name: &str| PortablePath::from_bytes(name.as_bytes());
        let paths = vec![
            (path("a"), Query::Content),
            (path("b"), Query::Kind),
            (path("c"), Query::Kind),
            (path("c"), Query::Link),
        ];
        let pathset = Pathset { paths, ..Pathset::default() };
        let values = |value: Value| Values {
            paths: vec![value; 4],
            globs: vec![(path("a"), value), (path("b"), value), (path("d"), value)],
            ..Values::default()
        };
        let (then, now) = (Value::FILE, Value::OTHER);
        let named = |name, query| Difference::Path(path(name), query, then, now);
        assert_eq!(
            differences(&pathset, &values(then), &values(now)),
            [
                named("a", Query::Content),
                named("b", Query::Content),
                named("c", Query::Kind),
                named("d", Query::Content)
            ]
        );
    }
}
