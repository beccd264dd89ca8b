//! What the tools of one step have said so far, and the answers to what they ask. Knows messages and
//! paths; knows nothing of sockets.

use super::ServerSpec;
use crate::hint::{EnvSelect, Hint};
use crate::path::{from_bytes, join_lexically};
use overhear_client::protocol::{self, Message, Reply, Select, VERSION};
use rustc_hash::FxHashSet;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// More different things than this are not listened to: the run is not stored, and memory stays bounded.
const MAX_DIFFERENT: usize = 100_000;
/// The same for their bytes.
const MAX_BYTES: usize = 32 << 20;
/// A longer path leads nowhere on any system, so the disk is not asked about it.
const MAX_PATH: usize = 4096;
/// So many links in a row the kernel follows.
const MAX_LINKS: usize = 40;

/// One thing that was said.
struct Said {
    hint: Hint,
    /// The path as it was said, and the links on it, where that is not yet the place that it leads to.
    over: Option<(Box<[u8]>, Vec<PathBuf>)>,
}

/// What was said.
pub(super) struct Facts {
    env: Arc<BTreeMap<String, String>>,
    all: Option<Arc<BTreeMap<String, String>>>,
    said: Vec<Said>,
    seen: FxHashSet<Box<[u8]>>,
    bytes: usize,
    fault: Option<String>,
}

impl Facts {
    /// Nothing was said; variables are answered from the spec.
    pub(super) fn new(spec: ServerSpec) -> Facts {
        Facts {
            env: spec.env,
            all: spec.all,
            said: Vec::new(),
            seen: FxHashSet::default(),
            bytes: 0,
            fault: None,
        }
    }

    /// Notes that something may have been lost. The first cause is kept.
    pub(super) fn fail(&mut self, cause: impl Into<String>) {
        self.fault.get_or_insert_with(|| cause.into());
    }

    /// Takes the body of one frame and appends the reply, if one is waited for. `greeted` is the state
    /// of the connection. An error means that the connection is of no more use.
    pub(super) fn take(
        &mut self,
        body: &[u8],
        greeted: &mut bool,
        replies: &mut Vec<u8>,
    ) -> Result<(), String> {
        let message = match Message::decode(body) {
            Ok(message) => message,
            Err(error) if *greeted => {
                self.fail(error.to_string());
                // The frames are still in step; a client that waits must get its answer.
                if body.get(1).is_some_and(|flags| flags & protocol::REPLY != 0) {
                    Reply::NotKnown.encode(replies);
                }
                return Ok(());
            }
            Err(_) => return Err("what a client sent does not begin with a greeting".to_owned()),
        };
        match (message, *greeted) {
            (Message::Hello { version }, false) if (1..=VERSION).contains(&version) => *greeted = true,
            (Message::Hello { version }, false) => {
                return Err(format!("a client speaks version {version} of the protocol, not {VERSION}"));
            }
            (Message::Hello { .. }, true) => self.fail("a client greeted twice"),
            (_, false) => return Err("what a client sent does not begin with a greeting".to_owned()),
            (message, true) => self.answer(&message, body, replies),
        }
        Ok(())
    }

    fn answer(&mut self, message: &Message<'_>, body: &[u8], replies: &mut Vec<u8>) {
        match *message {
            Message::GetEnv { name, reply: true, .. } => {
                let value = self.env.get(name);
                value.map_or(Reply::Absent, |value| Reply::Value(value)).encode(replies);
                let values: Vec<_> = value.map(|value| (name, &**value)).into_iter().collect();
                self.fault = self.fault.take().or_else(|| not_text(&values));
            }
            Message::GetEnvs { select, reply: true, .. } => {
                let asks_for_all = select == Select::Prefix("");
                let source = self.all.as_ref().filter(|_| asks_for_all).unwrap_or(&self.env);
                let meant = source.iter().filter(|(name, _)| select.matches(name));
                let values: Vec<_> = meant.map(|(name, value)| (&**name, &**value)).collect();
                self.fault = self.fault.take().or_else(|| not_text(&values));
                Reply::Values(values).encode(replies);
            }
            Message::Unknown { kind, ignorable, reply } => {
                if reply {
                    Reply::NotKnown.encode(replies);
                }
                if !ignorable {
                    self.fail(format!("a client sent a message that is not known (kind {kind:#04x})"));
                }
                return;
            }
            _ => {}
        }
        self.note(message, body);
    }

    /// Keeps what is new.
    fn note(&mut self, message: &Message<'_>, body: &[u8]) {
        if self.seen.contains(body) {
            return;
        }
        if self.seen.len() >= MAX_DIFFERENT || self.bytes + body.len() > MAX_BYTES {
            self.fail(format!("the tools said more than {MAX_DIFFERENT} different things"));
            return;
        }
        self.bytes += body.len();
        self.seen.insert(body.into());
        let mut say = |hint| self.said.push(Said { hint, over: None });
        match *message {
            Message::IgnoreInput { path } => self.note_path(path, Hint::IgnoreInput),
            Message::IgnoreOutput { path } => self.note_path(path, Hint::IgnoreOutput),
            Message::DisableCache => say(Hint::DisableCache),
            Message::GetEnv { name, tracked, .. } => say(Hint::GetEnv { name: name.to_owned(), tracked }),
            Message::GetEnvs { select, tracked, .. } => {
                say(Hint::GetEnvs { select: select.into(), tracked });
            }
            Message::Hello { .. } | Message::Unknown { .. } => {}
        }
    }

    fn note_path(&mut self, path: &[u8], hint: fn(PathBuf) -> Hint) {
        let said = places(path).into_iter().map(|place| {
            let is_plain = place.as_os_str().as_bytes() == path;
            Said { hint: hint(place), over: (!is_plain).then(|| (path.into(), links_on(path))) }
        });
        self.said.extend(said);
    }

    /// What was said, each thing once, in the order in which it was said first; or why something may
    /// be missing. To be called when the tools have ended. `is_changed`: whether they made, changed or
    /// removed what lies at a path.
    pub(super) fn into_hints(self, is_changed: &dyn Fn(&Path) -> bool) -> Result<Vec<Hint>, String> {
        if let Some(cause) = self.fault {
            return Err(cause);
        }
        let mut once = BTreeSet::new();
        let hints = self.said.into_iter().filter(|said| said.still_holds(is_changed)).map(|said| said.hint);
        Ok(hints.filter(|hint| once.insert(hint.clone())).collect())
    }
}

impl Said {
    /// A message is heard a moment after it was sent. A link on the path may have been led elsewhere in
    /// between, and then what was found is not what was meant. It is known by that the tools changed the
    /// link, or that the path leads elsewhere now; without the hint more counts, which makes no hit wrong.
    fn still_holds(&self, is_changed: &dyn Fn(&Path) -> bool) -> bool {
        let (Some((path, links)), Hint::IgnoreInput(place) | Hint::IgnoreOutput(place)) =
            (&self.over, &self.hint)
        else {
            return true;
        };
        if links.iter().any(|link| is_changed(link)) {
            return false;
        }
        let now = places(path);
        // One that is gone leads nowhere else.
        now.contains(place) || now == [join_lexically(Path::new("/"), &from_bytes(path.to_vec()))]
    }
}

/// The links that a path leads over, each by the place where it lies.
fn links_on(path: &[u8]) -> Vec<PathBuf> {
    let path = from_bytes(path.to_vec());
    let mut rest: Vec<OsString> = path.components().rev().map(|part| part.as_os_str().to_owned()).collect();
    let (mut at, mut links) = (PathBuf::from("/"), Vec::new());
    while let Some(part) = rest.pop() {
        match Path::new(&part).components().next() {
            Some(Component::ParentDir) => drop(at.pop()),
            Some(Component::Normal(name)) => {
                let next = at.join(name);
                match fs::read_link(&next) {
                    Ok(target) if links.len() < MAX_LINKS => {
                        links.push(next);
                        rest.extend(target.components().rev().map(|part| part.as_os_str().to_owned()));
                    }
                    _ => at = next,
                }
            }
            Some(Component::RootDir) => at = PathBuf::from("/"),
            _ => {}
        }
    }
    links
}

/// A value that is not UTF-8 comes with replacement characters: it is not what the tool would have found.
fn not_text(values: &[(&str, &str)]) -> Option<String> {
    let (name, _) = values.iter().find(|(_, value)| value.contains(char::REPLACEMENT_CHARACTER))?;
    Some(format!("the value of {name} is not UTF-8"))
}

impl From<Select<'_>> for EnvSelect {
    fn from(select: Select<'_>) -> EnvSelect {
        match select {
            Select::Glob(glob) => EnvSelect::Glob(glob.to_owned()),
            Select::Prefix(prefix) => EnvSelect::Prefix(prefix.to_owned()),
        }
    }
}

/// Where a path lies, as the tracer names it: links on the way are resolved, also below folders that
/// do not exist yet. A link at its end stands for itself and for what it leads to.
fn places(path: &[u8]) -> Vec<PathBuf> {
    let path = from_bytes(path.to_vec());
    if path.as_os_str().len() > MAX_PATH {
        return vec![join_lexically(Path::new("/"), &path)];
    }
    let target = resolve(&path);
    if let (Some(parent), Some(name)) = (path.parent(), path.file_name())
        && fs::read_link(&path).is_ok()
    {
        let link = resolve(parent).join(name);
        if link != target {
            return vec![link, target];
        }
    }
    vec![target]
}

/// Resolves the longest part of the path that exists, and links that lead to what does not.
fn resolve(path: &Path) -> PathBuf {
    let mut path = path.to_path_buf();
    'links: for _ in 0..MAX_LINKS {
        for known in path.ancestors() {
            let rest = path.strip_prefix(known).expect("an ancestor is a prefix");
            if let Ok(real) = fs::canonicalize(known) {
                return join_lexically(&real, rest);
            }
            if let (Ok(target), Some(parent)) = (fs::read_link(known), known.parent()) {
                path = parent.join(target).join(rest);
                continue 'links;
            }
        }
        break;
    }
    join_lexically(Path::new("/"), &path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use overhear_client::protocol::REPLY;
    use std::os::unix::fs::symlink;

    fn facts() -> Facts {
        let env = [("VITE_A", "1"), ("VITE_B", "2"), ("OTHER", "3")];
        Facts::new(ServerSpec { env: map(&env), all: None })
    }

    fn map(env: &[(&str, &str)]) -> Arc<BTreeMap<String, String>> {
        Arc::new(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn who_asks_for_every_variable_gets_those_that_an_adapter_means() {
        let mut facts =
            Facts::new(ServerSpec { env: map(&[("A_1", "1"), ("B", "2")]), all: Some(map(&[("B", "2")])) });
        let mut ask = |prefix| {
            let select = Select::Prefix(prefix);
            let reply = say(&mut facts, Message::GetEnvs { select, tracked: true, reply: true });
            match Reply::decode(&reply) {
                Ok(Reply::Values(values)) => {
                    values.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>()
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(ask(""), ["B"]);
        assert_eq!(ask("A_"), ["A_1"]);
    }

    fn body(message: Message<'_>) -> Vec<u8> {
        let mut frame = Vec::new();
        message.encode(&mut frame);
        frame.split_off(4)
    }

    fn say(facts: &mut Facts, message: Message<'_>) -> Vec<u8> {
        let mut replies = Vec::new();
        facts.take(&body(message), &mut true, &mut replies).unwrap();
        if replies.is_empty() { replies } else { replies.split_off(4) }
    }

    #[test]
    fn variables_are_answered_and_noted() {
        let mut facts = facts();
        let reply = say(&mut facts, Message::GetEnv { name: "VITE_A", tracked: true, reply: true });
        assert_eq!(Reply::decode(&reply), Ok(Reply::Value("1")));
        let reply = say(&mut facts, Message::GetEnv { name: "NONE", tracked: false, reply: true });
        assert_eq!(Reply::decode(&reply), Ok(Reply::Absent));
        let select = Select::Glob("*_?");
        let reply = say(&mut facts, Message::GetEnvs { select, tracked: true, reply: true });
        assert_eq!(Reply::decode(&reply), Ok(Reply::Values(vec![("VITE_A", "1"), ("VITE_B", "2")])));
        assert!(say(&mut facts, Message::GetEnv { name: "OTHER", tracked: true, reply: false }).is_empty());
        let hints = facts.into_hints(&|_| false).unwrap();
        assert_eq!(hints[0], Hint::GetEnv { name: "VITE_A".into(), tracked: true });
        assert_eq!(hints[1], Hint::GetEnv { name: "NONE".into(), tracked: false });
        assert_eq!(hints[2], Hint::GetEnvs { select: EnvSelect::Glob("*_?".into()), tracked: true });
        assert_eq!(hints[3], Hint::GetEnv { name: "OTHER".into(), tracked: true });
    }

    #[test]
    fn a_thing_said_twice_is_one_hint() {
        let mut facts = facts();
        for reply in [true, false, true] {
            say(&mut facts, Message::GetEnv { name: "A", tracked: true, reply });
            say(&mut facts, Message::DisableCache);
        }
        assert_eq!(facts.into_hints(&|_| false).unwrap().len(), 2);
    }

    #[test]
    fn a_message_not_known_is_answered_and_fails_the_run_unless_ignorable() {
        for (ignorable, fine) in [(true, true), (false, false)] {
            let mut facts = facts();
            let reply = say(&mut facts, Message::Unknown { kind: 0x70, ignorable, reply: true });
            assert_eq!(Reply::decode(&reply), Ok(Reply::NotKnown));
            assert_eq!(facts.into_hints(&|_| false).is_ok(), fine);
        }
    }

    #[test]
    fn a_malformed_question_is_answered_and_fails_the_run() {
        let (mut facts, mut replies) = (facts(), Vec::new());
        facts.take(&[5, REPLY, 0xff], &mut true, &mut replies).unwrap();
        assert!(!replies.is_empty());
        assert!(facts.into_hints(&|_| false).is_err());
    }

    #[test]
    fn a_connection_begins_with_a_greeting_of_a_version_that_is_known() {
        for first in
            [body(Message::DisableCache), body(Message::Hello { version: VERSION + 1 }), b"GET /".to_vec()]
        {
            let mut greeted = false;
            assert!(facts().take(&first, &mut greeted, &mut Vec::new()).is_err());
            assert!(!greeted);
        }
    }

    #[test]
    fn a_value_that_is_no_text_fails_the_run_that_asks_for_it() {
        let facts = || Facts::new(ServerSpec { env: map(&[("A", "1"), ("ODD", "\u{fffd}")]), all: None });
        for (message, fine) in [
            (Message::GetEnv { name: "A", tracked: true, reply: true }, true),
            (Message::GetEnv { name: "ODD", tracked: true, reply: true }, false),
            (Message::GetEnvs { select: Select::Prefix("O"), tracked: false, reply: true }, false),
        ] {
            let mut facts = facts();
            say(&mut facts, message);
            assert_eq!(facts.into_hints(&|_| false).is_ok(), fine, "{message:?}");
        }
    }

    #[test]
    fn a_link_that_leads_elsewhere_at_the_end_is_named_in_vain() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        for name in ["a", "b"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        let link = root.join("link");
        symlink("a", &link).unwrap();
        let mut facts = facts();
        for path in [link.clone(), link.join("below"), root.join("b/../link"), root.join("b")] {
            say(&mut facts, Message::IgnoreInput { path: path.as_os_str().as_encoded_bytes() });
        }
        fs::remove_file(&link).unwrap();
        symlink("b", &link).unwrap();
        // The link itself is where it was.
        let place = |name: &str| Hint::IgnoreInput(root.join(name));
        assert_eq!(facts.into_hints(&|_| false).unwrap(), [place("link"), place("b")]);
    }

    #[test]
    fn a_link_that_the_tools_changed_is_named_in_vain_wherever_it_leads() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir(root.join("a")).unwrap();
        symlink("a", root.join("one")).unwrap();
        symlink(root.join("one"), root.join("two")).unwrap();
        let said = |changed: &str| {
            let mut facts = facts();
            for path in ["two/x", "one/../plain", "a/x"] {
                let path = root.join(path);
                say(&mut facts, Message::IgnoreInput { path: path.as_os_str().as_encoded_bytes() });
            }
            facts.into_hints(&|path| path == root.join(changed)).unwrap()
        };
        let place = |name: &str| Hint::IgnoreInput(root.join(name));
        assert_eq!(said("none"), [place("a/x"), place("plain")]);
        // Both lead over it; what was said again without it still holds.
        assert_eq!(said("one"), [place("a/x")]);
        assert_eq!(said("two"), [place("plain"), place("a/x")]);
    }

    #[test]
    fn a_link_that_is_gone_at_the_end_was_meant_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir(root.join("a")).unwrap();
        symlink("a", root.join("link")).unwrap();
        let mut facts = facts();
        let path = root.join("link/below");
        say(&mut facts, Message::IgnoreOutput { path: path.as_os_str().as_encoded_bytes() });
        fs::remove_file(root.join("link")).unwrap();
        assert_eq!(facts.into_hints(&|_| false).unwrap(), [Hint::IgnoreOutput(root.join("a/below"))]);
    }

    #[test]
    fn different_things_are_bounded() {
        let mut facts = facts();
        for n in 0..=MAX_DIFFERENT {
            say(&mut facts, Message::GetEnv { name: &n.to_string(), tracked: true, reply: false });
        }
        assert_eq!(facts.said.len(), MAX_DIFFERENT);
        assert!(facts.into_hints(&|_| false).unwrap_err().contains("different things"));
    }

    #[test]
    fn links_are_resolved_also_where_their_end_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir(root.join("real")).unwrap();
        symlink("real", root.join("link")).unwrap();
        symlink("later/dist", root.join("dangling")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let of = |path: &str| {
            let found = places(root.join(path).as_os_str().as_encoded_bytes());
            found
                .iter()
                .map(|p| p.strip_prefix(&root).unwrap().to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(of("real"), ["real"]);
        assert_eq!(of("link/missing/dist"), ["real/missing/dist"]);
        assert_eq!(of("link/../x"), ["x"]);
        assert_eq!(of("link"), ["link", "real"]);
        assert_eq!(of("dangling"), ["dangling", "later/dist"]);
        assert_eq!(of("dangling/deep"), ["later/dist/deep"]);
        assert_eq!(of("missing/../real/."), ["real"]);
        assert_eq!(of("loop"), ["loop"]);
    }

    #[test]
    fn a_path_longer_than_any_is_taken_by_its_text() {
        let long = format!("/{}", "a/".repeat(400_000));
        assert_eq!(places(long.as_bytes()).len(), 1);
    }
}
