//! What a run depended on, and whether that is still so: [`Pathset`] (which paths and variables),
//! [`Values`] (what they are), and the walk that finds the present value of each.
//!
//! All in this file is pure; only [`Disk`] and [`Digests`] look at files. It never asks who depends on what (`settle`)
//! nor keeps anything (`store`).

mod digests;
mod look;
mod search;
mod seen;

pub use digests::{Digests, digest_file};
pub use look::{Disk, Looked, list};
pub use search::SearchPath;
pub use seen::{Seen, Stir, Turn};

use crate::access::Listing;
use crate::digest::{Digest, Fields};
use crate::globs::GlobPattern;
use crate::hint::EnvSelect;
use crate::path::{Places, PortablePath};
use crate::stamp::{Found, Stamp};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

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

    /// The value of a program by its content and, of one that finds the rest of itself by where it lies, that.
    pub fn program(content: Value, place: Option<&[u8]>) -> Value {
        match place {
            Some(place) => Value(Fields::new("program").bytes(&content.0).bytes(place).digest().0),
            None => content,
        }
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
