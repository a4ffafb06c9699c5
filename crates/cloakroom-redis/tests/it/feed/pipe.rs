//! A way to a server that can be made to lead to another one, or to hold back what the server says.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex};

/// Connections that were made stay where they lead; new ones lead to the present target.
pub(crate) struct Pipe {
    port: u16,
    to: Arc<AtomicU16>,
    valve: Arc<Valve>,
}

#[derive(Default)]
struct Valve {
    is_shut: Mutex<bool>,
    changed: Condvar,
}

impl Pipe {
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let own = listener.local_addr().unwrap().port();
        let (to, valve) = (Arc::new(AtomicU16::new(port)), Arc::<Valve>::default());
        let (target, shared) = (Arc::clone(&to), Arc::clone(&valve));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target.load(Ordering::Acquire)))
                {
                    client.set_nodelay(true).unwrap();
                    server.set_nodelay(true).unwrap();
                    let (from_client, from_server) =
                        (client.try_clone().unwrap(), server.try_clone().unwrap());
                    std::thread::spawn(move || forward(from_client, server, None));
                    let valve = Arc::clone(&shared);
                    std::thread::spawn(move || forward(from_server, client, Some(valve)));
                }
            }
        });
        Self { port: own, to, valve }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on new connections lead to another server.
    pub(crate) fn lead_to(&self, port: u16) {
        self.to.store(port, Ordering::Release);
    }

    /// Holds back whatever servers say; they hear everything.
    pub(crate) fn hold_answers(&self) {
        *self.valve.is_shut.lock().unwrap() = true;
    }

    /// Passes on what was held back, then everything.
    pub(crate) fn pass_answers(&self) {
        *self.valve.is_shut.lock().unwrap() = false;
        self.valve.changed.notify_all();
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, valve: Option<Arc<Valve>>) {
    let mut bytes = [0; 4096];
    while let Ok(count) = from.read(&mut bytes) {
        if let Some(valve) = &valve {
            let is_shut = valve.is_shut.lock().unwrap();
            drop(valve.changed.wait_while(is_shut, |is_shut| *is_shut).unwrap());
        }
        match bytes.get(..count) {
            Some(read) if count > 0 && to.write_all(read).is_ok() => {}
            _ => break,
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
