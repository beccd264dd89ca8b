//! The other end, for Rust: tells overhear what a trace cannot know, from inside a step. Blocking, and
//! needs nothing of overhear but [`crate::protocol`].

pub use crate::protocol::Select;

use crate::protocol::{DecodeError, Frames, MAX_REPLY, Message, Reply, VERSION};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The variable that tells clients the folder of their server.
pub const ENV_FOLDER: &str = "OVERHEAR_IPC";

/// A connection to the server of the step that this process belongs to.
#[derive(Debug)]
pub struct Client {
    folder: PathBuf,
    stream: UnixStream,
}

/// Why a message was not delivered, or not answered. The server knows by then that something is
/// missing, so the step is not kept; a caller may go on.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The connection failed.
    #[error("overhear does not listen in `{folder}`: {source}")]
    Connection {
        /// The folder of the server.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The reply is none.
    #[error("overhear replied something that is no reply: {0}")]
    Reply(#[from] DecodeError),
    /// The server is older than this client.
    #[error("the overhear that runs this task does not know the message")]
    NotKnown,
}

impl Client {
    /// Connects to the server that the environment names. None outside overhear, and when nobody
    /// listens; the server, if it lives, knows of the latter.
    pub fn from_env() -> Option<Client> {
        let folder = PathBuf::from(std::env::var_os(ENV_FOLDER).filter(|folder| !folder.is_empty())?);
        Client::connect(&folder).ok()
    }

    /// Connects to the server of that folder.
    pub fn connect(folder: &Path) -> Result<Client, ClientError> {
        let connect = || -> io::Result<UnixStream> {
            let mut stream = UnixStream::connect(folder.join("socket"))?;
            let mut frame = Vec::new();
            Message::Hello { version: VERSION }.encode(&mut frame);
            stream.write_all(&frame)?;
            Ok(stream)
        };
        let stream = connect().map_err(|source| lost(folder, source))?;
        Ok(Client { folder: folder.to_path_buf(), stream })
    }

    /// What is read at or below the path is no input. A relative path means one below the working
    /// directory of this process.
    pub fn ignore_input(&mut self, path: &Path) -> Result<(), ClientError> {
        let path = self.absolute(path)?;
        self.send(&Message::IgnoreInput { path: path.as_os_str().as_bytes() })
    }

    /// What is written at or below the path is no output. A relative path means one below the working
    /// directory of this process.
    pub fn ignore_output(&mut self, path: &Path) -> Result<(), ClientError> {
        let path = self.absolute(path)?;
        self.send(&Message::IgnoreOutput { path: path.as_os_str().as_bytes() })
    }

    /// The result must not be kept.
    pub fn disable_cache(&mut self) -> Result<(), ClientError> {
        self.send(&Message::DisableCache)
    }

    /// The value of a variable, if there is one. Tracked: the result depends on it.
    pub fn get_env(&mut self, name: &str, tracked: bool) -> Result<Option<String>, ClientError> {
        self.send(&Message::GetEnv { name, tracked, reply: true })?;
        self.receive(|reply| match *reply {
            Reply::Value(value) => Some(Some(value.to_owned())),
            Reply::Absent => Some(None),
            _ => None,
        })
    }

    /// All variables that match. Tracked: the result depends on which there are, and on their values.
    pub fn get_envs(
        &mut self,
        select: Select<'_>,
        tracked: bool,
    ) -> Result<BTreeMap<String, String>, ClientError> {
        self.send(&Message::GetEnvs { select, tracked, reply: true })?;
        self.receive(|reply| match reply {
            Reply::Values(values) => {
                Some(values.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
            }
            _ => None,
        })
    }

    /// Joined, and not collapsed: only the system knows where `link/..` leads.
    fn absolute(&self, path: &Path) -> Result<PathBuf, ClientError> {
        if path.is_absolute() {
            return Ok(path.to_path_buf());
        }
        let cwd = std::env::current_dir().map_err(|source| lost(&self.folder, source))?;
        Ok(cwd.join(path))
    }

    fn send(&mut self, message: &Message<'_>) -> Result<(), ClientError> {
        let mut frame = Vec::new();
        message.encode(&mut frame);
        self.stream.write_all(&frame).map_err(|source| lost(&self.folder, source))
    }

    fn receive<T>(&mut self, read: impl Fn(&Reply<'_>) -> Option<T>) -> Result<T, ClientError> {
        let mut frames = Frames::new(MAX_REPLY);
        let mut chunk = [0; 4096];
        loop {
            let reply = frames.next_body().and_then(|body| body.map(Reply::decode).transpose());
            if let Some(reply) = reply.inspect_err(|_| tell_loss(&self.folder))? {
                return read(&reply).ok_or(ClientError::NotKnown);
            }
            let length = self.stream.read(&mut chunk).and_then(|length| match length {
                0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                length => Ok(length),
            });
            frames.push(&chunk[..length.map_err(|source| lost(&self.folder, source))?]);
        }
    }
}

/// Tells the server, if it lives, that something was not delivered. Removing a file works where
/// nothing else does: it takes no descriptor and no room on the disk.
fn tell_loss(folder: &Path) {
    let _ = std::fs::remove_file(folder.join("sound"));
}

fn lost(folder: &Path, source: io::Error) -> ClientError {
    tell_loss(folder);
    ClientError::Connection { folder: folder.to_path_buf(), source }
}
