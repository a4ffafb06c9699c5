//! A way to a server that counts round trips.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// Passes bytes on, and counts how often the direction turns to the server: once for each round trip, as long as one
/// thing is asked at a time.
pub(crate) struct Meter {
    pub(crate) address: String,
    turns: Arc<AtomicUsize>,
}

impl Meter {
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (turns, direction) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU8::new(BACK)));
        let counted = Arc::clone(&turns);
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                }
                let there = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (turns, one, other) =
                    (Arc::clone(&counted), Arc::clone(&direction), Arc::clone(&direction));
                std::thread::spawn(move || {
                    pass(there.0, there.1, || {
                        if one.swap(THERE, Ordering::SeqCst) == BACK {
                            turns.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                });
                std::thread::spawn(move || pass(server, client, || other.store(BACK, Ordering::SeqCst)));
            }
        });
        Self { address, turns }
    }

    pub(crate) fn round_trips(&self) -> usize {
        self.turns.load(Ordering::SeqCst)
    }
}

fn pass(mut from: impl Read, mut to: TcpStream, seen: impl Fn()) {
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        seen();
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

const THERE: u8 = 1;
const BACK: u8 = 0;
