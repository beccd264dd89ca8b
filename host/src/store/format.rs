//! Everything that is stored, in one file of types: entries, pathsets, manifests, habits and what is
//! remembered of a checkout, with their encoding (postcard). `docs/cache-format.md` draws it.
//!
//! A change of any type here is a new [`VERSION`]; a database of another version is set aside whole,
//! never misread.

use crate::digest::Digest;
use crate::fingerprint::{Matched, Pathset, Query, Remembered, Value, Values};
use crate::globs::GlobPattern;
use crate::hint::EnvSelect;
use crate::path::PortablePath;
use crate::stamp::Stamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Version of everything stored.
///
/// 1. First.
/// 2. Files that tools keep for themselves (`tool_files`).
/// 3. What a run made and removed again is told from what it removed.
/// 4. State files, and which entry they belong to (`states`); files that patterns match (`matched`); what is made again is told from what is replaced.
/// 5. Rows of the index are sealed by a digest; times of use are in microseconds.
/// 6. What a run looked for before it made it (`found_bare`); folders that it emptied (`emptied`).
pub const VERSION: i32 = 6;

/// Bytes that are stored cannot be read back: damage, or a version that slipped through.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be read back: {source}")]
pub struct Damaged {
    what: &'static str,
    source: postcard::Error,
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain data in memory always encodes")
}

fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, Damaged> {
    postcard::from_bytes(bytes).map_err(|source| Damaged { what, source })
}

#[derive(Serialize, Deserialize)]
struct PathsetRow {
    paths: Vec<(serde_bytes::ByteBuf, QueryRow)>,
    programs: Vec<String>,
    globs: Vec<GlobPattern>,
    globs_except: Vec<PortablePath>,
    envs: Vec<EnvSelectRow>,
    bound_to_place: bool,
}

#[derive(Serialize, Deserialize)]
enum QueryRow {
    Content,
    Kind,
    Absent,
    Link,
    Listing(Vec<serde_bytes::ByteBuf>),
}

#[derive(Serialize, Deserialize)]
enum EnvSelectRow {
    Name(String),
    Glob(String),
    Prefix(String),
}

/// A Pathset as bytes.
pub fn encode_pathset(pathset: &Pathset) -> Vec<u8> {
    let query = |query: &Query| match query {
        Query::Content => QueryRow::Content,
        Query::Kind => QueryRow::Kind,
        Query::Absent => QueryRow::Absent,
        Query::Link => QueryRow::Link,
        Query::Listing(except) => {
            QueryRow::Listing(except.iter().map(|name| serde_bytes::ByteBuf::from(name.as_bytes())).collect())
        }
    };
    encode(&PathsetRow {
        paths: pathset
            .paths
            .iter()
            .map(|(path, asked)| (path.as_bytes().to_vec().into(), query(asked)))
            .collect(),
        programs: pathset.programs.clone(),
        globs: pathset.globs.clone(),
        globs_except: pathset.globs_except.clone(),
        envs: pathset
            .envs
            .iter()
            .map(|select| match select {
                EnvSelect::Name(text) => EnvSelectRow::Name(text.clone()),
                EnvSelect::Glob(text) => EnvSelectRow::Glob(text.clone()),
                EnvSelect::Prefix(text) => EnvSelectRow::Prefix(text.clone()),
            })
            .collect(),
        bound_to_place: pathset.bound_to_place,
    })
}

/// A Pathset from bytes.
pub fn decode_pathset(bytes: &[u8]) -> Result<Pathset, Damaged> {
    let row: PathsetRow = decode("a pathset", bytes)?;
    let query = |query| match query {
        QueryRow::Content => Query::Content,
        QueryRow::Kind => Query::Kind,
        QueryRow::Absent => Query::Absent,
        QueryRow::Link => Query::Link,
        QueryRow::Listing(except) => {
            Query::Listing(except.into_iter().map(|name| OsString::from_vec(name.into_vec())).collect())
        }
    };
    Ok(Pathset {
        paths: row
            .paths
            .into_iter()
            .map(|(path, asked)| (PortablePath::from_vec(path.into_vec()), query(asked)))
            .collect(),
        programs: row.programs,
        globs: row.globs,
        globs_except: row.globs_except,
        envs: row
            .envs
            .into_iter()
            .map(|select| match select {
                EnvSelectRow::Name(text) => EnvSelect::Name(text),
                EnvSelectRow::Glob(text) => EnvSelect::Glob(text),
                EnvSelectRow::Prefix(text) => EnvSelect::Prefix(text),
            })
            .collect(),
        bound_to_place: row.bound_to_place,
    })
}

#[derive(Serialize, Deserialize)]
struct ValuesRow {
    paths: serde_bytes::ByteBuf,
    programs: serde_bytes::ByteBuf,
    globs: Vec<(PortablePath, [u8; 32])>,
    envs: Vec<Vec<(String, [u8; 32])>>,
    place: Option<[u8; 32]>,
}

/// Values as bytes.
pub fn encode_values(values: &Values) -> Vec<u8> {
    let flat = |values: &[Value]| {
        serde_bytes::ByteBuf::from(values.iter().flat_map(|value| value.0).collect::<Vec<u8>>())
    };
    encode(&ValuesRow {
        paths: flat(&values.paths),
        programs: flat(&values.programs),
        globs: values.globs.iter().map(|(path, value)| (path.clone(), value.0)).collect(),
        envs: values
            .envs
            .iter()
            .map(|set| set.iter().map(|(name, value)| (name.clone(), value.0)).collect())
            .collect(),
        place: values.place.map(|value| value.0),
    })
}

/// Values from bytes.
pub fn decode_values(bytes: &[u8]) -> Result<Values, Damaged> {
    let row: ValuesRow = decode("the values of an entry", bytes)?;
    let list = |bytes: &[u8]| {
        bytes.chunks_exact(32).map(|chunk| Value(chunk.try_into().expect("chunks of 32"))).collect()
    };
    Ok(Values {
        paths: list(&row.paths),
        programs: list(&row.programs),
        globs: row.globs.into_iter().map(|(path, value)| (path, Value(value))).collect(),
        envs: row
            .envs
            .into_iter()
            .map(|set| set.into_iter().map(|(name, value)| (name, Value(value))).collect())
            .collect(),
        place: row.place.map(Value),
    })
}

/// What an entry puts in place, and what its run is known to have done with what it found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Sorted by path; a folder comes before what is in it.
    pub outputs: Vec<Output>,
    /// What was there before the run and not after it.
    pub removed: Vec<PortablePath>,
    /// Those of `removed` that the run itself had made: nothing was there before.
    pub temporary: Vec<PortablePath>,
    /// Those of the outputs, sorted, by which the tool knows what it did last: removed first and
    /// written last.
    pub state_files: Vec<PortablePath>,
    /// What the run looked for and did not find, before it made it, sorted: something of others there
    /// would have been seen.
    pub found_bare: Vec<PortablePath>,
    /// Folders whose names the run read and removed all, sorted.
    pub emptied: Vec<PortablePath>,
    /// What the run did with what it found.
    pub habits: Habits,
}

impl Manifest {
    /// Whether it names only what a task may leave, and in order: no other is believed when it is read.
    ///
    /// # Errors
    /// The first path that is none.
    pub fn check(&self) -> Result<(), super::StoreError> {
        super::names::check(self)
    }

    /// Whether the run had looked for this path and not found it, before it made it.
    pub fn was_bare(&self, path: &PortablePath) -> bool {
        self.found_bare.binary_search(path).is_ok()
    }

    /// Whether the run had read the names in this folder and removed them all.
    pub fn was_emptied(&self, folder: &PortablePath) -> bool {
        self.emptied.binary_search(folder).is_ok()
    }
}

/// One output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Where.
    pub path: PortablePath,
    /// What.
    pub kind: OutputKind,
}

/// What an output is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputKind {
    /// A file.
    File {
        /// Digest of its content.
        digest: Digest,
        /// Its size.
        bytes: u64,
        /// Its executable bit.
        executable: bool,
    },
    /// A symlink with its text.
    Link(#[serde(with = "serde_bytes")] Vec<u8>),
    /// An empty folder.
    Folder,
}

impl OutputKind {
    /// The value by which what lies there is compared.
    pub fn value(&self) -> Value {
        match self {
            OutputKind::File { digest, executable, .. } => Value::content(*digest, *executable),
            OutputKind::Link(text) => Value::link(std::ffi::OsStr::from_bytes(text)),
            OutputKind::Folder => Value::FOLDER,
        }
    }
}

/// What runs did with what they found where their outputs go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Habits {
    /// Overwritten without being read.
    pub replaced: Vec<PortablePath>,
    /// Removed and made again, without being read: the run has learned that something was there, so
    /// only what the step itself had left counts as if nothing were.
    pub remade: Vec<PortablePath>,
    /// For a folder with outputs: what became of names that the run did not write.
    pub folders: Vec<(PortablePath, FolderHabit)>,
}

/// What a run does with names in its output folder that it does not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FolderHabit {
    /// It removes them.
    Emptied,
    /// It leaves them.
    Kept,
    /// It removes some and leaves others, or renames them to elsewhere.
    Mixed,
}

/// A manifest as bytes.
pub fn encode_manifest(manifest: &Manifest) -> Vec<u8> {
    encode(manifest)
}

/// A manifest from bytes.
pub fn decode_manifest(bytes: &[u8]) -> Result<Manifest, Damaged> {
    decode("the manifest of an entry", bytes)
}

/// Habits as bytes.
pub fn encode_habits(habits: &Habits) -> Vec<u8> {
    encode(habits)
}

/// Habits from bytes.
pub fn decode_habits(bytes: &[u8]) -> Result<Habits, Damaged> {
    decode("the habits of a step", bytes)
}

const STAMP_BYTES: usize = 45;

/// An optional stamp: one byte for presence, then its fields, little-endian. Fixed in size, because
/// a warm run reads one per input.
pub fn encode_stamp(stamp: Option<&Stamp>, into: &mut Vec<u8>) {
    let Some(stamp) = stamp else {
        into.extend_from_slice(&[0; STAMP_BYTES]);
        return;
    };
    into.push(1);
    for number in [stamp.dev, stamp.ino, stamp.size, stamp.mtime_ns as u64, stamp.ctime_ns as u64] {
        into.extend_from_slice(&number.to_le_bytes());
    }
    into.extend_from_slice(&stamp.mode.to_le_bytes());
}

/// Reads what [`encode_stamp`] wrote. The slice has `STAMP_BYTES` bytes.
fn decode_stamp(bytes: &[u8]) -> Option<Stamp> {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    (bytes[0] == 1).then(|| Stamp {
        dev: number(1),
        ino: number(9),
        size: number(17),
        mtime_ns: number(25) as i64,
        ctime_ns: number(33) as i64,
        mode: u32::from_le_bytes(bytes[41..45].try_into().expect("four bytes")),
    })
}

/// What is remembered of a Pathset as bytes.
pub fn encode_remembered(remembered: &Remembered) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(remembered.len() * (STAMP_BYTES + 32));
    for (stamp, value) in remembered {
        encode_stamp(stamp.as_ref(), &mut bytes);
        bytes.extend_from_slice(&value.0);
    }
    bytes
}

/// What is remembered of a Pathset from bytes; nothing where they have no whole number of rows.
pub fn decode_remembered(bytes: &[u8]) -> Remembered {
    let rows = bytes.chunks_exact(STAMP_BYTES + 32);
    if !rows.remainder().is_empty() {
        return Vec::new();
    }
    rows.map(|row| (decode_stamp(row), Value(row[STAMP_BYTES..].try_into().expect("32 bytes")))).collect()
}

/// What patterns matched, as bytes.
pub fn encode_matched(matched: &Matched) -> Vec<u8> {
    let row = |(path, (stamp, value)): (&PortablePath, &(Option<Stamp>, Value))| {
        let mut bytes = Vec::with_capacity(STAMP_BYTES);
        encode_stamp(stamp.as_ref(), &mut bytes);
        (path.clone(), serde_bytes::ByteBuf::from(bytes), value.0)
    };
    encode(&matched.iter().map(row).collect::<Vec<_>>())
}

/// What patterns matched, from bytes; nothing where they cannot be read back.
pub fn decode_matched(bytes: &[u8]) -> Matched {
    type Row = (PortablePath, serde_bytes::ByteBuf, [u8; 32]);
    let rows: Vec<Row> = decode("what patterns matched", bytes).unwrap_or_default();
    let rows = rows.into_iter().filter(|(_, stamp, _)| stamp.len() == STAMP_BYTES);
    rows.map(|(path, stamp, value)| (path, (decode_stamp(&stamp), Value(value)))).collect()
}

/// Stamps of the outputs of an entry, as they were when they were last seen in place.
pub fn encode_stamps(stamps: &[Option<Stamp>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(stamps.len() * STAMP_BYTES);
    stamps.iter().for_each(|stamp| encode_stamp(stamp.as_ref(), &mut bytes));
    bytes
}

/// Reads what [`encode_stamps`] wrote.
pub fn decode_stamps(bytes: &[u8]) -> Vec<Option<Stamp>> {
    bytes.chunks_exact(STAMP_BYTES).map(decode_stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_reads_back() {
        let stamp = Stamp { dev: 1, ino: u64::MAX, size: 3, mtime_ns: -4, ctime_ns: 5, mode: 0o100644 };
        let remembered = vec![(Some(stamp), Value::content(Digest::of(b"x"), true)), (None, Value::ABSENT)];
        assert_eq!(decode_remembered(&encode_remembered(&remembered)), remembered);
        let matched = Matched::from([(PortablePath::from_bytes(b"a"), (Some(stamp), Value::FILE))]);
        assert_eq!(decode_matched(&encode_matched(&matched)), matched);
        let pathset = Pathset {
            paths: vec![
                (PortablePath::from_bytes(b"a\xff"), Query::Content),
                (PortablePath::from_bytes(b"src"), Query::Listing(vec!["dist".into()])),
            ],
            programs: vec!["node".into()],
            globs: vec![GlobPattern { exclude: true, glob: "src/**".into() }],
            globs_except: vec![PortablePath::from_bytes(b"src/made")],
            envs: vec![EnvSelect::Prefix("VITE_".into())],
            bound_to_place: true,
        };
        assert_eq!(decode_pathset(&encode_pathset(&pathset)).expect("reads back"), pathset);
        let values = Values {
            paths: vec![Value::ABSENT, Value::FOLDER],
            programs: vec![Value::PROGRAM],
            globs: vec![(PortablePath::from_bytes(b"src/a"), Value::FILE)],
            envs: vec![vec![("A".into(), Value::OTHER)]],
            place: None,
        };
        assert_eq!(decode_values(&encode_values(&values)).expect("reads back"), values);
    }

    #[test]
    fn damage_is_an_error_and_no_panic() {
        assert!(decode_pathset(&[0xff; 9]).is_err());
        assert!(decode_manifest(&[7, 7]).is_err());
        assert!(decode_remembered(&[1; 80]).is_empty());
    }
}
