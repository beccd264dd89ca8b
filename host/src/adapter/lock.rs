//! `overhear.lock`: which adapters a workspace uses, exactly, and what each was allowed. Written by
//! `overhear adapter add` and `update` alone; here it is read, compared and put into text. Knows nothing of
//! where adapters lie.

use super::described::Described;
use super::fault::Wrong;
use crate::digest::{Digest, Fields};
use crate::problem::line_of;
use serde::Deserialize;
use std::fmt::Write as _;
use std::path::Path;

/// Its name, at the root.
pub const FILE: &str = "overhear.lock";
/// The interface that this program speaks.
const WORLD: &str = "0.1";

/// All that is locked, sorted by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lock {
    #[serde(default)]
    adapter: Vec<Locked>,
}

/// One adapter.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Locked {
    /// Its id.
    pub id: String,
    /// `path:adapters/mine.toml` or `npm:@acme/overhear-mine`.
    pub source: String,
    /// Its version.
    pub version: String,
    /// The interface that it was written for.
    pub world: String,
    /// Of its file.
    pub digest: String,
    /// Of what it says of itself.
    pub description: String,
    /// Names of programs that lead to it.
    pub programs: Vec<String>,
    /// Names of packages whose programs do.
    pub packages: Vec<String>,
    /// What it may read and was allowed to, as `package:tool.config.*`.
    pub may_read: Vec<String>,
    /// Which variables it may ask for and was allowed to.
    pub may_read_env: Vec<String>,
}

/// How strictly what is there is held to the lock.
#[derive(Clone, Debug)]
pub struct Locking {
    /// The lock; `Err`: it cannot be read.
    pub lock: Result<Lock, Wrong>,
    /// Nothing is used that is not exactly as locked.
    pub frozen: bool,
}

impl Locking {
    /// As it stands at this root.
    pub fn at(root: &Path, frozen: bool) -> Locking {
        Locking { lock: Lock::load(root), frozen }
    }
}

impl Lock {
    /// Reads the lock at a root. A missing one locks nothing.
    pub fn load(root: &Path) -> Result<Lock, Wrong> {
        let bad = |what: String| Wrong::new("bad-lock", format!("{FILE}: {what}"));
        match std::fs::read_to_string(root.join(FILE)) {
            Ok(text) => Lock::parse(&text).map_err(bad),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Lock::default()),
            Err(error) => Err(bad(error.to_string())),
        }
    }

    fn parse(text: &str) -> Result<Lock, String> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            format!("line {line}: {}", error.message())
        })
    }

    /// Writes it, beside and renamed, so that nobody reads a half.
    pub fn save(&self, root: &Path) -> std::io::Result<()> {
        let mut beside = tempfile::NamedTempFile::new_in(root)?;
        std::io::Write::write_all(&mut beside, self.to_text().as_bytes())?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        beside.as_file().set_permissions(readable)?;
        beside.persist(root.join(FILE))?;
        Ok(())
    }

    /// What is locked of an id.
    pub fn of_id(&self, id: &str) -> Option<&Locked> {
        self.adapter.iter().find(|locked| locked.id == id)
    }

    /// What is locked of a source.
    pub fn of_source(&self, source: &str) -> Option<&Locked> {
        self.adapter.iter().find(|locked| locked.source == source)
    }

    /// All that is locked.
    pub fn all(&self) -> &[Locked] {
        &self.adapter
    }

    /// Locks an adapter instead of what is locked of its id or of its source.
    pub fn put(&mut self, locked: Locked) {
        self.adapter.retain(|other| other.id != locked.id && other.source != locked.source);
        self.adapter.push(locked);
        self.adapter.sort_by(|one, other| one.id.cmp(&other.id));
    }

    /// Forgets an id or a source; whether it was there.
    pub fn remove(&mut self, id_or_source: &str) -> bool {
        let before = self.adapter.len();
        self.adapter.retain(|other| other.id != id_or_source && other.source != id_or_source);
        self.adapter.len() < before
    }

    fn to_text(&self) -> String {
        let mut text =
            "# Written by `overhear adapter`: which adapters are used here, and what each may read.\n\
                        # Belongs into version control.\n"
                .to_owned();
        let quoted = |text: &String| serde_json::Value::from(text.as_str()).to_string();
        let list = |texts: &[String]| texts.iter().map(quoted).collect::<Vec<_>>().join(", ");
        for one in &self.adapter {
            text.push_str("\n[[adapter]]\n");
            let strings = [
                ("id", &one.id),
                ("source", &one.source),
                ("version", &one.version),
                ("world", &one.world),
                ("digest", &one.digest),
                ("description", &one.description),
            ];
            let lists = [
                ("programs", &one.programs),
                ("packages", &one.packages),
                ("may-read", &one.may_read),
                ("may-read-env", &one.may_read_env),
            ];
            for (name, value) in strings {
                let _ = writeln!(text, "{name} = {}", quoted(value));
            }
            for (name, values) in lists {
                let _ = writeln!(text, "{name} = [{}]", list(values));
            }
        }
        text
    }
}

impl Locked {
    /// An adapter as it is now.
    pub fn of(described: &Described, digest: Digest, source: &str) -> Locked {
        let sorted = |names: &[String]| {
            let mut names = names.to_vec();
            names.sort();
            names
        };
        Locked {
            id: described.id.clone(),
            source: source.to_owned(),
            version: described.version.clone(),
            world: WORLD.to_owned(),
            digest: format!("blake3:{digest}"),
            description: format!("blake3:{}", of_description(described)),
            programs: sorted(&described.programs),
            packages: sorted(&described.packages),
            may_read: sorted(&reads(described)),
            may_read_env: sorted(&described.may_read_env),
        }
    }

    /// What this one may, and `before` was not allowed: one line each.
    pub fn grown(&self, before: Option<&Locked>) -> Vec<String> {
        let empty = Vec::new();
        let lists = [
            ("read", &self.may_read, before.map_or(&empty, |before| &before.may_read)),
            (
                "ask for the variable",
                &self.may_read_env,
                before.map_or(&empty, |before| &before.may_read_env),
            ),
        ];
        let more = lists.into_iter().flat_map(|(what, now, before)| {
            now.iter().filter(|one| !before.contains(one)).map(move |one| format!("{what} {one}"))
        });
        more.collect()
    }
}

/// Whether an adapter may be used as it lies there. `locked`: what the lock has of it.
pub fn check(now: &Locked, locked: Option<&Locked>, frozen: bool) -> Result<(), Wrong> {
    let is_path = now.source.starts_with("path:");
    let name = if is_path { format!("./{}", &now.source["path:".len()..]) } else { now.id.clone() };
    let Some(locked) = locked else {
        // A file of the workspace is read and approved like its other code.
        return if is_path && !frozen { Ok(()) } else { Err(not_locked(&name)) };
    };
    if locked.digest == now.digest && locked.id == now.id {
        return Ok(());
    }
    if is_path && !frozen && locked.id == now.id {
        let grown = now.grown(Some(locked));
        if grown.is_empty() {
            return Ok(());
        }
        let what = format!(
            "it wants to {}, which {FILE} does not allow; run `overhear adapter update {name}`",
            grown.join(", ")
        );
        return Err(Wrong::new("approval-needed", what));
    }
    let what = format!(
        "it is not what {FILE} has: version {} there, {} here ({}); run `overhear adapter update {name}`",
        locked.version, now.version, now.digest
    );
    Err(Wrong::new("digest-mismatch", what))
}

/// An adapter that the lock does not have.
pub fn not_locked(name: &str) -> Wrong {
    Wrong::new("not-locked", format!("`{name}` is not in {FILE}; run `overhear adapter add {name}`"))
}

fn reads(described: &Described) -> Vec<String> {
    described.may_read.iter().map(|(base, pattern)| format!("{}:{pattern}", base.name())).collect()
}

fn of_description(described: &Described) -> Digest {
    let bytes = serde_json::to_vec(described).expect("a description holds only strings");
    Fields::new("description").bytes(&bytes).digest()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::declaration::Base;

    fn locked(version: &str, digest: u8, reads: &[&str]) -> Locked {
        let described = Described {
            id: "acme/mine".into(),
            version: version.into(),
            programs: vec!["mine".into()],
            packages: vec![],
            refines: vec![],
            config_files: vec![],
            may_read: reads.iter().map(|read| (Base::Package, (*read).to_owned())).collect(),
            may_read_env: vec![],
            settings_schema: None,
            tested_with: None,
            title: "\"quoted\"".into(),
        };
        Locked::of(&described, Digest([digest; 32]), "npm:acme-mine")
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut lock = Lock::default();
        lock.put(locked("1.0.0", 1, &["a \"b\"", "mine.config.*"]));
        lock.put(Locked { id: "acme/b".into(), source: "path:b.toml".into(), ..locked("2", 2, &[]) });
        assert_eq!(Lock::parse(&lock.to_text()), Ok(lock.clone()));
        assert_eq!(lock.all()[0].id, "acme/b", "sorted");
        assert!(lock.remove("path:b.toml") && !lock.remove("path:b.toml"));
        let wrong = Lock::parse("[[adapter]]\nid = 3\n").unwrap_err();
        assert!(wrong.starts_with("line 2: "), "{wrong}");
    }

    #[test]
    fn only_what_was_approved_is_used() {
        let code = |result: Result<(), Wrong>| result.err().map(|wrong| wrong.code);
        let before = locked("1.0.0", 1, &["a"]);
        let path = |locked: Locked| Locked { source: "path:x/mine.toml".into(), ..locked };
        let cases = [
            (before.clone(), Some(before.clone()), true, None),
            (before.clone(), None, false, Some("not-locked")),
            (locked("1.0.1", 2, &["a"]), Some(before.clone()), false, Some("digest-mismatch")),
            (path(locked("1", 2, &["a"])), None, false, None),
            (path(locked("1", 2, &["a"])), None, true, Some("not-locked")),
            (path(locked("1", 2, &["a"])), Some(path(before.clone())), false, None),
            (path(locked("1", 2, &["a"])), Some(path(before.clone())), true, Some("digest-mismatch")),
            (path(locked("1", 2, &["a", "b"])), Some(path(before.clone())), false, Some("approval-needed")),
            (path(locked("1", 2, &[])), Some(path(before)), false, None),
        ];
        for (at, (now, locked, frozen, expected)) in cases.into_iter().enumerate() {
            assert_eq!(code(check(&now, locked.as_ref(), frozen)), expected, "case {at}");
        }
    }
}
