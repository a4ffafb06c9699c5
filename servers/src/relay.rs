//! A TCP relay whose links can be cut.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::net::sockopt::set_socket_linger;

use crate::{
    Failure, Outcome, Port,
    patience::{Look, PATIENCE, until},
};

/// A relay between clients and a server on 127.0.0.1: what passes it can be cut, held up or refused.
#[derive(Debug)]
pub struct Relay {
    port: Port,
    inner: Arc<Inner>,
    door: Mutex<Option<Door>>,
}

/// What accepts connections.
#[derive(Debug)]
struct Door {
    is_closing: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

#[derive(Debug)]
struct Inner {
    to: u16,
    accepted: AtomicU64,
    links: Mutex<Vec<Weak<Link>>>,
    weather: Mutex<Weather>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Weather {
    requests_stalled: bool,
    replies_stalled: bool,
    /// Reply bytes that may still pass before the link that carries them is cut.
    replies_left: Option<usize>,
}

impl Weather {
    fn stalls(&self, direction: Direction) -> bool {
        match direction {
            Direction::Request => self.requests_stalled,
            Direction::Reply => self.replies_stalled,
        }
    }
}

/// Two connections that belong together.
#[derive(Debug)]
struct Link {
    client: TcpStream,
    server: TcpStream,
    is_cut: AtomicBool,
}

impl Relay {
    /// Starts a relay to `to` on 127.0.0.1.
    ///
    /// # Errors
    /// If there is no port to listen on.
    pub fn to(to: u16) -> Outcome<Self> {
        let inner = Inner {
            to,
            accepted: AtomicU64::default(),
            links: Mutex::default(),
            weather: Mutex::default(),
            changed: Condvar::new(),
        };
        let relay = Self { port: Port::free()?, inner: Arc::new(inner), door: Mutex::new(None) };
        relay.accept()?;
        Ok(relay)
    }

    /// The port to which clients connect.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// How many connections it has accepted since it was started.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.inner.accepted.load(Ordering::SeqCst)
    }

    /// How many links are open.
    #[must_use]
    pub fn links(&self) -> usize {
        self.inner.open_links().len()
    }

    /// Resets all links (both sides get RST), and returns when they are gone. New connections are welcome.
    ///
    /// # Panics
    /// If a link does not go.
    pub fn cut(&self) {
        for link in self.inner.open_links() {
            link.cut();
        }
        self.inner.changed.notify_all();
        until("the relay's links to be cut", PATIENCE, || {
            let left =
                self.inner.open_links().iter().filter(|link| link.is_cut.load(Ordering::SeqCst)).count();
            if left == 0 { Look::Done(()) } else { Look::NotYet(format!("{left} are left")) }
        })
        .expect("a cut link's threads end");
    }

    /// From now on lets `bytes` bytes of replies pass, over all links together, and resets the link that carries the last
    /// of them right after it. Happens once; zero cuts before the first byte.
    pub fn cut_replies_after(&self, bytes: usize) {
        self.inner.weather().replies_left = Some(bytes);
    }

    /// Whether a cut that was ordered by [`cut_replies_after`](Self::cut_replies_after) is still to come.
    #[must_use]
    pub fn will_cut(&self) -> bool {
        self.inner.weather().replies_left.is_some()
    }

    /// Forwards nothing from now on, in either direction, and loses nothing: links stay open, new ones are accepted.
    pub fn stall(&self) {
        self.stall_requests();
        self.stall_replies();
    }

    /// The same for what clients send alone: replies to what was sent before still pass.
    pub fn stall_requests(&self) {
        self.inner.weather().requests_stalled = true;
    }

    /// The same for what the server sends alone: it is asked, acts, and nobody hears of it.
    pub fn stall_replies(&self) {
        self.inner.weather().replies_stalled = true;
    }

    /// Forwards again after [`stall`](Self::stall) and its like, what was held up first.
    pub fn flow(&self) {
        let mut weather = self.inner.weather();
        (weather.requests_stalled, weather.replies_stalled) = (false, false);
        drop(weather);
        self.inner.changed.notify_all();
    }

    /// Refuses new connections from now on. Links that are open stay so.
    pub fn refuse(&self) {
        let Some(door) = lock(&self.door).take() else { return };
        door.is_closing.store(true, Ordering::SeqCst);
        // Wakes it from waiting for a connection.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port()));
        let _ = door.thread.join();
    }

    /// Accepts connections again after [`refuse`](Self::refuse), on the same port.
    ///
    /// # Errors
    /// If somebody else took the port.
    pub fn accept(&self) -> Outcome {
        let mut door = lock(&self.door);
        if door.is_some() {
            return Ok(());
        }
        let listening = || format!("listening on port {}", self.port());
        // The port is ours, and still somebody may listen on it for a moment: a program that another thread is starting
        // holds copies of our sockets until it has become that program.
        let listener = until("a listener to be gone", PATIENCE, || {
            match TcpListener::bind((Ipv4Addr::LOCALHOST, self.port())) {
                Ok(listener) => Look::Done(listener),
                Err(error) if error.kind() == ErrorKind::AddrInUse => Look::NotYet(error.to_string()),
                Err(error) => Look::Hopeless(Failure::new(listening(), error)),
            }
        })?;
        let is_closing = Arc::new(AtomicBool::new(false));
        let (inner, closing) = (Arc::clone(&self.inner), Arc::clone(&is_closing));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if closing.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(client) = stream {
                    inner.link(client);
                }
            }
        });
        *door = Some(Door { is_closing, thread });
        Ok(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.refuse();
        for link in self.inner.open_links() {
            link.cut();
        }
        self.inner.changed.notify_all();
    }
}

impl Inner {
    /// Joins `client` to a connection of its own to the server; a server that refuses makes the client see a reset.
    fn link(self: &Arc<Self>, client: TcpStream) {
        self.accepted.fetch_add(1, Ordering::SeqCst);
        let prepared = (|| {
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, self.to))?;
            for stream in [&client, &server] {
                stream.set_nodelay(true)?;
                // Only a full buffer is ever waited for; a cut must be noticed all the same.
                stream.set_write_timeout(Some(GLANCE))?;
            }
            std::io::Result::Ok(server)
        })();
        let Ok(server) = prepared else {
            reset_when_closed(&client);
            return;
        };
        let link = Arc::new(Link { client, server, is_cut: AtomicBool::new(false) });
        let mut links = lock(&self.links);
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(&link));
        drop(links);
        let (inner, other) = (Arc::clone(self), Arc::clone(&link));
        thread::spawn(move || inner.pump(&other, Direction::Request));
        let inner = Arc::clone(self);
        thread::spawn(move || inner.pump(&link, Direction::Reply));
    }

    /// Carries bytes in one direction until that side closes or the link is cut.
    fn pump(&self, link: &Link, direction: Direction) {
        let (mut from, mut to) = match direction {
            Direction::Request => (&link.client, &link.server),
            Direction::Reply => (&link.server, &link.client),
        };
        let mut buffer = [0; 16 * 1024];
        loop {
            let read = match from.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // What one side suffers, the other must see as well.
                Err(_) => return link.cut(),
            };
            let bytes = buffer.get(..read).unwrap_or_default();
            let Some((bytes, is_last)) = self.pass(link, direction, bytes) else { return };
            if read == 0 {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
            if !link.write_all(&mut to, bytes) || is_last {
                return link.cut();
            }
        }
    }

    /// Waits while the relay is stalled; then says how much of `bytes` may pass and whether the link is cut after it. `None`
    /// if the link was cut meanwhile.
    fn pass<'a>(&self, link: &Link, direction: Direction, bytes: &'a [u8]) -> Option<(&'a [u8], bool)> {
        let mut weather = self.weather();
        while weather.stalls(direction) && !link.is_cut.load(Ordering::SeqCst) {
            weather = self.changed.wait_timeout(weather, GLANCE).unwrap_or_else(PoisonError::into_inner).0;
        }
        if link.is_cut.load(Ordering::SeqCst) {
            return None;
        }
        if direction == Direction::Request || bytes.is_empty() {
            return Some((bytes, false));
        }
        let Some(left) = weather.replies_left else { return Some((bytes, false)) };
        if bytes.len() < left {
            weather.replies_left = Some(left - bytes.len());
            return Some((bytes, false));
        }
        weather.replies_left = None;
        Some((bytes.get(..left).unwrap_or_default(), true))
    }

    fn open_links(&self) -> Vec<Arc<Link>> {
        lock(&self.links).iter().filter_map(Weak::upgrade).collect()
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        lock(&self.weather)
    }
}

impl Link {
    /// Makes both connections end by a reset as soon as their threads let go of them.
    fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        for stream in [&self.client, &self.server] {
            reset_when_closed(stream);
            // Wakes the thread that reads, and sends nothing.
            let _ = stream.shutdown(Shutdown::Read);
        }
    }

    /// Says whether all was written before the link was cut or closed.
    fn write_all(&self, to: &mut &TcpStream, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.is_cut.load(Ordering::SeqCst) {
                return false;
            }
            match to.write(bytes) {
                Ok(0) => return false,
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return false,
                },
            }
        }
        true
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Reply,
}

/// Without lingering, closing throws away what is unsent and sends RST instead of FIN.
fn reset_when_closed(stream: &TcpStream) {
    // A connection that has ended needs no reset.
    let _ = set_socket_linger(stream, Some(Duration::ZERO));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often a thread that cannot go on looks whether its link was cut.
const GLANCE: Duration = Duration::from_millis(50);
