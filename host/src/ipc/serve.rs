//! The asynchronous part of overhear, and the only one: it listens, reads and replies. All servers of
//! the program share one thread, started with the first. What a message means is none of its business.

use super::facts::Facts;
use super::folder::{MIN_POOL, make_fifo};
use interprocess::local_socket::tokio::{Listener, Stream, prelude::*};
use interprocess::local_socket::{GenericFilePath, ListenerOptions};
use overhear_client::protocol::{Frames, MAX_MESSAGE};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

/// At most so many pairs of FIFOs wait for a client, however many there were before: each costs two descriptors.
const MAX_POOL: usize = 16;
/// Read at once.
const CHUNK: usize = 16 << 10;
/// More than this in one connection after the tools have ended was not written before.
const MAX_REST: usize = 2 << 20;

/// The thread on which all servers live.
pub(super) fn runtime() -> Result<Handle, String> {
    static RUNTIME: OnceLock<Result<Handle, String>> = OnceLock::new();
    let start = || -> io::Result<Handle> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let handle = runtime.handle().clone();
        let forever = move || runtime.block_on(std::future::pending::<()>());
        std::thread::Builder::new().name("ipc".to_owned()).spawn(forever)?;
        Ok(handle)
    };
    RUNTIME.get_or_init(|| start().map_err(|error| error.to_string())).clone()
}

/// What every task of one server holds.
#[derive(Clone)]
struct Shared {
    facts: Arc<Mutex<Facts>>,
    /// True once the tools have ended: read what is there, and end.
    stop: watch::Receiver<bool>,
}

impl Shared {
    fn facts(&self) -> MutexGuard<'_, Facts> {
        lock(&self.facts)
    }

    async fn stopped(&mut self) {
        // An error means that the server was dropped, which is the same.
        let _ = self.stop.wait_for(|stop| *stop).await;
    }
}

/// A panic elsewhere is noticed by itself; what was noted before it is still true.
pub(super) fn lock(facts: &Mutex<Facts>) -> MutexGuard<'_, Facts> {
    facts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All that listens for one server.
pub(super) struct Hall {
    folder: PathBuf,
    shared: Shared,
    listener: Option<Listener>,
    door: pipe::Receiver,
    tasks: JoinSet<()>,
    pairs_made: usize,
}

impl Hall {
    /// Opens the socket, the door and the first pairs. To be called within the runtime.
    pub(super) fn open(
        folder: &Path,
        facts: Arc<Mutex<Facts>>,
        stop: watch::Receiver<bool>,
    ) -> io::Result<Hall> {
        let name = folder.join("socket").to_fs_name::<GenericFilePath>()?;
        let listener = ListenerOptions::new().name(name).create_tokio()?;
        let door = pipe::OpenOptions::new().read_write(true).open_receiver(folder.join("door"))?;
        let shared = Shared { facts, stop };
        let tasks = JoinSet::new();
        let mut hall = Hall {
            folder: folder.to_path_buf(),
            shared,
            listener: Some(listener),
            door,
            tasks,
            pairs_made: 0,
        };
        // Those that the server before this one made here, and nobody took.
        for _ in 0..fs::read_dir(folder.join("free"))?.count() {
            hall.pairs_made += 1;
            let name = hall.pairs_made.to_string();
            hall.listen_to_pair(&folder.join("free").join(&name), &name)?;
        }
        hall.fill_pool()?;
        Ok(hall)
    }

    /// Serves until stopped, then until all that was said before is taken in.
    pub(super) async fn serve(mut self) {
        let mut stop = self.shared.clone();
        let mut knocks = [0; 256];
        loop {
            tokio::select! {
                biased;
                () = stop.stopped() => break,
                accepted = accept(self.listener.as_ref()) => self.welcome(accepted),
                knock = self.door.read(&mut knocks) => {
                    if let Err(error) = knock.and_then(|_| self.fill_pool()) {
                        self.close_pool(&error);
                    }
                }
                Some(ended) = self.tasks.join_next() => self.note_panic(ended),
            }
        }
        self.take_waiting_connections();
        while let Some(ended) = self.tasks.join_next().await {
            self.note_panic(ended);
        }
    }

    fn welcome(&mut self, accepted: io::Result<Stream>) {
        match accepted {
            Ok(stream) => drop(self.tasks.spawn(serve_stream(stream, self.shared.clone()))),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                self.shared.facts().fail(format!("the server could not take a connection: {error}"));
                // Those that wait, and those that come, must learn that nobody answers.
                self.listener = None;
            }
        }
    }

    /// Takes the connections that were made before the stop and not taken yet. Readiness as the
    /// runtime knows it may lag behind, so the system itself is asked.
    fn take_waiting_connections(&mut self) {
        let Some(Listener::UdSocket(listener)) = &self.listener else { return };
        let shared = self.shared.clone();
        let taken = listener.as_fd().try_clone_to_owned().and_then(|fd| {
            let listener = UnixListener::from(fd);
            loop {
                match listener.accept() {
                    Ok((stream, _)) => {
                        stream.set_nonblocking(true)?;
                        Talk::new().finish(stream.as_fd(), &shared);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => return Err(error),
                }
            }
        });
        if let Err(error) = taken {
            self.shared.facts().fail(format!("the server could not take a connection: {error}"));
        }
    }

    fn note_panic(&self, ended: Result<(), JoinError>) {
        if ended.is_err_and(|error| error.is_panic()) {
            self.shared.facts().fail("the server had an internal fault");
        }
    }

    /// Makes pairs until as many are free as were taken so far, within bounds.
    fn fill_pool(&mut self) -> io::Result<()> {
        let free = fs::read_dir(self.folder.join("free"))?.count();
        let enough = self.pairs_made.saturating_sub(free).clamp(MIN_POOL, MAX_POOL);
        for _ in free..enough {
            self.pairs_made += 1;
            let name = self.pairs_made.to_string();
            // Made beside and renamed, so that a client never finds half a pair.
            let new = self.folder.join(format!("new-{name}"));
            fs::create_dir(&new)?;
            make_fifo(&new.join("up"))?;
            make_fifo(&new.join("down"))?;
            self.listen_to_pair(&new, &name)?;
            fs::rename(new, self.folder.join("free").join(&name))?;
        }
        Ok(())
    }

    /// Opens a pair, and waits for whoever takes it by that name.
    fn listen_to_pair(&mut self, at: &Path, name: &str) -> io::Result<()> {
        // Open at both ends: a client that opens one never waits for the other end.
        let mut both = pipe::OpenOptions::new();
        both.read_write(true);
        let (up, down) = (both.open_receiver(at.join("up"))?, both.open_sender(at.join("down"))?);
        let used = self.folder.join("used").join(name);
        self.tasks.spawn(serve_pair(up, down, used, self.shared.clone()));
        Ok(())
    }

    /// Without a pool, clients find nothing to take and go silent at once instead of waiting.
    fn close_pool(&self, error: &io::Error) {
        self.shared.facts().fail(format!("the server could not make a channel: {error}"));
        let _ = fs::rename(self.folder.join("free"), self.folder.join("closed"));
    }
}

async fn accept(listener: Option<&Listener>) -> io::Result<Stream> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

async fn serve_stream(stream: Stream, shared: Shared) {
    let Stream::UdSocket(stream) = &stream;
    converse(stream, stream, Talk::new(), shared).await;
}

/// Waits until a client has taken the pair, then gives up the client's ends of it, so that the end of
/// the client is seen.
async fn serve_pair(mut up: pipe::Receiver, down: pipe::Sender, used: PathBuf, mut shared: Shared) {
    let mut talk = Talk::new();
    let mut first = [0; 64];
    tokio::select! {
        biased;
        () = shared.stopped() => {
            // In `free` it is nobody's.
            return talk.finish_pair(up.as_fd(), used.exists(), &shared);
        }
        read = up.read(&mut first) => match read {
            Ok(length) => talk.hear(&first[..length], &shared),
            Err(error) => return shared.facts().fail(format!("the server could not read: {error}")),
        }
    }
    let open = pipe::OpenOptions::new();
    let ends =
        open.open_receiver(used.join("up")).and_then(|up| Ok((up, open.open_sender(used.join("down"))?)));
    match ends {
        Ok((reader, writer)) => {
            drop((up, down));
            // Open pipes need no names; what cannot be removed goes with the folder.
            let _ = fs::remove_dir_all(&used);
            converse(reader, writer, talk, shared).await;
        }
        Err(error) => shared.facts().fail(format!("the server could not open a channel: {error}")),
    }
}

/// Listens to one client until it ends, or until the stop and what was said before it.
async fn converse<R, W>(mut reader: R, mut writer: W, mut talk: Talk, mut shared: Shared)
where
    R: AsyncRead + AsFd + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut chunk = vec![0; CHUNK];
    while !talk.broken {
        if !talk.replies.is_empty() {
            tokio::select! {
                biased;
                () = shared.stopped() => return talk.finish(reader.as_fd(), &shared),
                // A client that is gone needs no reply, but what it said counts.
                _ = writer.write_all(&talk.replies) => talk.replies.clear(),
            }
        }
        tokio::select! {
            biased;
            () = shared.stopped() => return talk.finish(reader.as_fd(), &shared),
            read = reader.read(&mut chunk) => match read {
                Ok(0) | Err(_) => return talk.end(&shared),
                Ok(length) => talk.hear(&chunk[..length], &shared),
            }
        }
    }
}

/// One conversation: what has arrived and is not whole yet, and what is to be replied.
struct Talk {
    frames: Frames,
    greeted: bool,
    replies: Vec<u8>,
    broken: bool,
}

impl Talk {
    fn new() -> Talk {
        Talk { frames: Frames::new(MAX_MESSAGE), greeted: false, replies: Vec::new(), broken: false }
    }

    /// Takes in what has arrived.
    fn hear(&mut self, bytes: &[u8], shared: &Shared) {
        self.frames.push(bytes);
        let mut facts = shared.facts();
        loop {
            let taken = match self.frames.next_body() {
                Ok(None) => return,
                Ok(Some(body)) => facts.take(body, &mut self.greeted, &mut self.replies),
                Err(error) => Err(error.to_string()),
            };
            if let Err(cause) = taken {
                facts.fail(cause);
                self.broken = true;
                return;
            }
        }
    }

    /// The client has ended.
    fn end(&self, shared: &Shared) {
        if self.broken {
            return;
        }
        if self.frames.has_half_frame() {
            shared.facts().fail("a client ended in the middle of a message");
        } else if !self.greeted {
            // It came to say something.
            shared.facts().fail("a client ended before it had said anything");
        }
    }

    /// Takes in what was written before the tools ended. Nobody waits for replies any more.
    fn finish(mut self, fd: BorrowedFd<'_>, shared: &Shared) {
        if self.hear_rest(fd, shared) {
            self.end(shared);
        }
    }

    /// The same for a pair of FIFOs from which nothing had come, and which nobody may have taken.
    fn finish_pair(mut self, fd: BorrowedFd<'_>, is_taken: bool, shared: &Shared) {
        if self.hear_rest(fd, shared) && (is_taken || self.frames.has_half_frame()) {
            self.end(shared);
        }
    }

    /// False if that never ends.
    fn hear_rest(&mut self, fd: BorrowedFd<'_>, shared: &Shared) -> bool {
        let mut chunk = vec![0; CHUNK];
        let mut rest = 0;
        while !self.broken {
            match rustix::io::read(fd, &mut chunk) {
                Ok(0) | Err(rustix::io::Errno::AGAIN) => break,
                Ok(_) if rest > MAX_REST => {
                    shared.facts().fail("a client goes on talking after its command has ended");
                    return false;
                }
                Ok(length) => {
                    rest += length;
                    self.hear(&chunk[..length], shared);
                    self.replies.clear();
                }
                Err(rustix::io::Errno::INTR) => {}
                // A reset: the client is gone, and what it said before was read.
                Err(_) => break,
            }
        }
        true
    }
}
