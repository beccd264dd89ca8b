//! A connection to the server of a task. Blocking. Knows nothing of how the server works but
//! [`crate::protocol`].

use crate::protocol::{DecodeError, Frames, MAX_MESSAGE, MAX_REPLY, Message, Reply, Select, VERSION};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

#[cfg(not(unix))]
use crate::nowhere::UnixStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;

/// The variable that tells clients the folder of their server.
pub const ENV_FOLDER: &str = "OVERHEAR_IPC";

/// What a client looks for when it could not deliver something: it cannot exist, and overhear sees who looks.
pub const PROBE_LOST: &str = "/dev/null/overhear/not-delivered";

/// A connection to the server of the task that this process belongs to. A process that was forked off
/// connects anew when it speaks: of two that share a connection, neither would be understood.
#[derive(Debug)]
pub struct Client {
    folder: PathBuf,
    stream: UnixStream,
    process: u32,
}

/// Why a message was not delivered, or not answered. The server knows by then that something is
/// missing, so the result is not kept; a caller may go on.
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
    /// A relative path, and no working directory that it could be relative to.
    #[error("the working directory is not known: {0}")]
    NoCwd(#[source] io::Error),
    /// A message that the server would not take.
    #[error("a message of {length} bytes is too long; at most {MAX_MESSAGE} are allowed")]
    Long {
        /// Of its body, in bytes.
        length: usize,
    },
}

impl Client {
    /// Connects to the server that the environment names. None outside overhear, and when nobody
    /// listens; the server, if it lives, knows of the latter.
    pub fn from_env() -> Option<Client> {
        Client::connect(&crate::folder()?).ok()
    }

    /// Connects to the server of that folder.
    pub fn connect(folder: &Path) -> Result<Client, ClientError> {
        let stream = open(folder).map_err(|source| lost(folder, source))?;
        Ok(Client { folder: folder.to_path_buf(), stream, process: std::process::id() })
    }

    /// What is read at or below the path is no input. A relative path means one below the working
    /// directory of this process.
    pub fn ignore_input(&mut self, path: &Path) -> Result<(), ClientError> {
        let path = self.absolute(path)?;
        self.send(&Message::IgnoreInput { path: path.as_os_str().as_encoded_bytes() })
    }

    /// What is written at or below the path is no output. A relative path means one below the working
    /// directory of this process.
    pub fn ignore_output(&mut self, path: &Path) -> Result<(), ClientError> {
        let path = self.absolute(path)?;
        self.send(&Message::IgnoreOutput { path: path.as_os_str().as_encoded_bytes() })
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

    /// Says that a variable was asked for whose value is known already.
    pub fn note_env(&mut self, name: &str, tracked: bool) -> Result<(), ClientError> {
        self.send(&Message::GetEnv { name, tracked, reply: false })
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
        let cwd = std::env::current_dir().inspect_err(|_| tell_loss(&self.folder));
        Ok(cwd.map_err(ClientError::NoCwd)?.join(path))
    }

    fn send(&mut self, message: &Message<'_>) -> Result<(), ClientError> {
        if self.process != std::process::id() {
            self.stream = open(&self.folder).map_err(|source| lost(&self.folder, source))?;
            self.process = std::process::id();
        }
        let mut frame = Vec::new();
        message.encode(&mut frame);
        let length = frame.len() - 4;
        if length > MAX_MESSAGE {
            tell_loss(&self.folder);
            return Err(ClientError::Long { length });
        }
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

fn open(folder: &Path) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(folder.join("socket"))?;
    let mut frame = Vec::new();
    Message::Hello { version: VERSION }.encode(&mut frame);
    stream.write_all(&frame)?;
    Ok(stream)
}

/// Tells the server, if it lives, that something was not delivered. Removing a file works where nothing else
/// does: it takes no descriptor and no room on the disk. What has become of another user may not do that,
/// but what it looks for is seen.
fn tell_loss(folder: &Path) {
    let _ = std::fs::remove_file(folder.join("sound"));
    let _ = std::fs::symlink_metadata(PROBE_LOST);
}

fn lost(folder: &Path, source: io::Error) -> ClientError {
    tell_loss(folder);
    ClientError::Connection { folder: folder.to_path_buf(), source }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// All that came in over one connection.
    fn heard(listener: &UnixListener) -> Vec<u8> {
        let mut bytes = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn frames(messages: &[Message<'_>]) -> Vec<u8> {
        let mut frames = Vec::new();
        messages.iter().for_each(|message| message.encode(&mut frames));
        frames
    }

    #[test]
    fn a_process_that_was_forked_off_connects_anew_and_greets_again() {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let mut client = Client::connect(folder.path()).unwrap();
        client.disable_cache().unwrap();
        // As it is in the child of a fork.
        client.process = 0;
        client.ignore_input(Path::new("/a")).unwrap();
        drop(client);
        let hello = Message::Hello { version: VERSION };
        assert_eq!(heard(&listener), frames(&[hello, Message::DisableCache]));
        assert_eq!(heard(&listener), frames(&[hello, Message::IgnoreInput { path: b"/a" }]));
    }

    #[test]
    fn what_cannot_be_sent_is_reported_by_removing_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let sound = folder.path().join("sound");
        std::fs::write(&sound, "").unwrap();
        assert!(Client::connect(folder.path()).is_err());
        assert!(!sound.exists());

        std::fs::write(&sound, "").unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let mut client = Client::connect(folder.path()).unwrap();
        drop(listener.accept().unwrap());
        drop(listener);
        assert!(matches!(client.get_env("A", true), Err(ClientError::Connection { .. })));
        assert!(!sound.exists());
    }
}
