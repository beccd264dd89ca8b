//! What the tools of one step tell, while they run. A [`Server`] is made for each step that may be
//! kept; it hands out what the child must find in its environment, and at the end the [`Hint`]s that it
//! was told, or the reason why one may be missing. It weighs nothing: that is `settle`.
//!
//! There are two ways in, to the same ears. A local socket, for any language. And a pool of FIFO pairs,
//! for node, which can wait for a reply on a file and not on a socket. See `docs/protocol.md`.

mod facts;
mod folder;
mod serve;

pub use folder::{is_overheard, outer};

use crate::hint::Hint;
use facts::Facts;
use folder::Folder;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use thiserror::Error;
use tokio::sync::{oneshot, watch};

/// The variable that tells clients the folder of their server.
pub const ENV_FOLDER: &str = overhear_client::ENV_FOLDER;
/// The variable that names the file which node tools load.
pub const ENV_NODE_CLIENT: &str = "VP_RUN_NODE_CLIENT_PATH";

/// What a server needs to know.
#[derive(Clone, Default)]
pub struct ServerSpec {
    /// What variables are served from: the whole environment that the step would see if run directly,
    /// with the prefixes of its command applied.
    pub env: Arc<BTreeMap<String, String>>,
    /// What a question for every variable is answered with, where an adapter declares which ones such a
    /// question means; otherwise it gets `env` like any other.
    pub all: Option<Arc<BTreeMap<String, String>>>,
}

impl fmt::Debug for ServerSpec {
    /// Names no value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSpec").field("env", &self.env.len()).finish()
    }
}

/// Why no server could be started. The step runs without one, and is not kept.
#[derive(Debug, Error)]
pub enum IpcError {
    /// The thread of the servers.
    #[error("cannot start the thread that listens to tools: {0}")]
    Thread(String),
    /// The private folder, or something in it.
    #[error("cannot make a private folder for what tools tell: {0} — check XDG_RUNTIME_DIR and TMPDIR")]
    Folder(#[source] io::Error),
    /// The file that node tools load.
    #[error("cannot write the client that node tools load: {0}")]
    Client(#[source] io::Error),
    /// The socket or a FIFO.
    #[error("cannot listen to tools in `{folder}`: {source}")]
    Listen {
        /// The private folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Listens to the tools of one step, and so also to those of any overhear that one of them starts. Dropped
/// without [`Server::finish`], it forgets what it heard and leaves nothing behind.
pub struct Server {
    // Before the folder: what still made channels would keep that from being removed.
    hall: Running,
    folder: Folder,
    node_client: PathBuf,
    facts: Arc<Mutex<Facts>>,
}

/// What was opened for a step whose tools had nothing to say, for the next step: most folders are never
/// looked into, and making and removing one costs more than all else that is done for such a step.
pub struct Unused(Folder);

/// The hall that serves in the background. It ends when this is dropped.
struct Running {
    stop: watch::Sender<bool>,
    stopped: Option<oneshot::Receiver<()>>,
}

impl Server {
    /// Starts to listen. When this returns, clients can connect.
    pub fn start(spec: ServerSpec) -> Result<Server, IpcError> {
        Server::start_in(None, spec)
    }

    /// The same, in what [`Server::finish_unused`] gave, if there is any.
    pub fn start_in(unused: Option<Unused>, spec: ServerSpec) -> Result<Server, IpcError> {
        let runtime = serve::runtime().map_err(IpcError::Thread)?;
        let folder = match unused {
            Some(Unused(folder)) => folder,
            None => Folder::create().map_err(IpcError::Folder)?,
        };
        let node_client = folder::materialise(folder.path()).map_err(IpcError::Client)?;
        let facts = Arc::new(Mutex::new(Facts::new(spec)));
        let (stop, stop_seen) = watch::channel(false);
        let (end, stopped) = oneshot::channel();
        let _within = runtime.enter();
        let hall = serve::Hall::open(folder.path(), Arc::clone(&facts), stop_seen)
            .map_err(|source| IpcError::Listen { folder: folder.path().to_path_buf(), source })?;
        runtime.spawn(async move {
            hall.serve().await;
            // The other end is gone if the server was dropped, and then nobody waits.
            let _ = end.send(());
        });
        let hall = Running { stop, stopped: Some(stopped) };
        Ok(Server { hall, folder, node_client, facts })
    }

    /// What the child must find in its environment; whatever else was there under these names must go.
    pub fn child_env(&self) -> Vec<(OsString, OsString)> {
        vec![
            (ENV_FOLDER.into(), self.folder.path().into()),
            (ENV_NODE_CLIENT.into(), self.node_client.clone().into()),
        ]
    }

    /// What is overhear's own: what happens there, and connections to there, say nothing of the step.
    /// Resolved, and meant with everything below.
    pub fn own_paths(&self) -> Vec<PathBuf> {
        vec![self.folder.path().to_path_buf(), self.node_client.clone()]
    }

    /// To be called when all processes of the step have ended: takes in what they said before, and says
    /// it, each thing once, in the order in which it was said first. An error is the reason why a fact
    /// may be missing. Never waits for a client. Not to be called on the thread of the servers.
    /// `is_changed`: whether the step made, changed or removed what lies at a path; what was named over a
    /// link that it changed is left out, as it is not known where that led when it was named.
    pub fn finish(self, is_changed: &dyn Fn(&Path) -> bool) -> Result<Vec<Hint>, String> {
        self.finish_unused(is_changed).0
    }

    /// The same; and what can serve another step, if nobody took a channel. Only for who knows that no
    /// process of the step is left: one that is would be heard as of the other step.
    pub fn finish_unused(
        mut self,
        is_changed: &dyn Fn(&Path) -> bool,
    ) -> (Result<Vec<Hint>, String>, Option<Unused>) {
        let ended = self.hall.end();
        let facts = std::mem::replace(&mut *serve::lock(&self.facts), Facts::new(ServerSpec::default()));
        let hints = facts.into_hints(is_changed).and_then(|hints| {
            if !ended {
                return Err("the server had an internal fault".to_owned());
            }
            if !self.folder.is_sound() {
                return Err("a client could not deliver what it was told".to_owned());
            }
            if !self.node_client.exists() {
                // Tools that find no client there go on without a word.
                return Err(format!("`{}` was removed, which node tools load", self.node_client.display()));
            }
            Ok(hints)
        });
        let unused = (hints.is_ok() && self.folder.is_unused()).then(|| Unused(self.folder));
        (hints, unused)
    }
}

impl Running {
    /// Ends all that listens, once. False if it had ended by itself.
    fn end(&mut self) -> bool {
        // An error means that nobody is left to be told, which the next line finds as well.
        let _ = self.stop.send(true);
        self.stopped.take().is_some_and(|stopped| stopped.blocking_recv().is_ok())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_no_client_used_serves_the_next_step() {
        let server = Server::start(ServerSpec::default()).unwrap();
        let folder = server.own_paths().remove(0);
        let (hints, unused) = server.finish_unused(&|_| false);
        assert_eq!(hints, Ok(Vec::new()));
        let server = Server::start_in(unused, ServerSpec::default()).unwrap();
        assert_eq!(server.own_paths().remove(0), folder);
        let taken = folder.join("used/2");
        std::fs::rename(folder.join("free/2"), &taken).unwrap();
        let mut up = std::fs::OpenOptions::new().write(true).open(taken.join("up")).unwrap();
        std::io::Write::write_all(&mut up, b"not a message").unwrap();
        drop(up);
        let (hints, unused) = server.finish_unused(&|_| false);
        assert!(hints.is_err() && unused.is_none() && !folder.exists());
    }

    #[test]
    fn what_a_client_left_anything_in_is_not_used_again() {
        for leave in ["note", "used/note", "free/note", "free/1"] {
            let server = Server::start(ServerSpec::default()).unwrap();
            let path = server.own_paths().remove(0).join(leave);
            std::fs::create_dir(&path).or_else(|_| std::fs::remove_dir_all(&path)).unwrap();
            let (hints, unused) = server.finish_unused(&|_| false);
            assert!(hints == Ok(Vec::new()) && unused.is_none(), "{leave}");
        }
    }

    #[test]
    fn a_server_that_ended_by_itself_fails_the_run() {
        let mut server = Server::start(ServerSpec::default()).unwrap();
        let folder = server.own_paths().remove(0);
        // As it is when what serves has panicked: nobody is left to say that all was heard.
        let (gone, stopped) = oneshot::channel();
        drop(gone);
        server.hall.stopped = Some(stopped);
        assert_eq!(server.finish(&|_| false), Err("the server had an internal fault".to_owned()));
        assert!(!folder.exists());
    }
}
