use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use cloakroom_servers::Relay;

use crate::eventually;

/// A server that sends back what it gets.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = (&stream).read(&mut buffer) {
                    if (&stream).write_all(buffer.get(..read).unwrap_or_default()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

fn client(relay: &Relay) -> TcpStream {
    TcpStream::connect(("127.0.0.1", relay.port())).unwrap()
}

fn exchange(mut stream: &TcpStream, words: &str) -> String {
    stream.write_all(words.as_bytes()).unwrap();
    let mut answer = vec![0; words.len()];
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn bytes_pass_in_both_directions_and_an_end_is_passed_on() {
    let relay = Relay::to(echo()).unwrap();
    let mut stream = client(&relay);
    assert_eq!(exchange(&stream, "hello"), "hello");
    let much = "x".repeat(3_000_000);
    let mut writer = stream.try_clone().unwrap();
    let sent = much.clone();
    let writing = thread::spawn(move || {
        writer.write_all(sent.as_bytes()).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    writing.join().unwrap();
    assert_eq!(answer.len(), much.len());
    assert_eq!((relay.accepted(), relay.links()), (1, 0));
}

#[test]
fn a_cut_resets_every_link_and_lets_new_ones_in() {
    let relay = Relay::to(echo()).unwrap();
    let streams = [client(&relay), client(&relay)];
    for stream in &streams {
        exchange(stream, "hello");
    }
    assert_eq!(relay.links(), 2);
    relay.cut();
    assert_eq!(relay.links(), 0);
    for mut stream in &streams {
        let error = stream.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(exchange(&client(&relay), "again"), "again");
}

#[test]
fn replies_are_cut_after_exactly_the_bytes_that_were_allowed() {
    let relay = Relay::to(echo()).unwrap();
    for allowed in [0, 1, 5] {
        let mut stream = client(&relay);
        relay.cut_replies_after(allowed);
        assert!(relay.will_cut());
        stream.write_all(b"hello, world").unwrap();
        let mut seen = Vec::new();
        let ending = stream.read_to_end(&mut seen).unwrap_err();
        assert_eq!(ending.kind(), ErrorKind::ConnectionReset);
        assert_eq!(seen, b"hello, world"[..allowed]);
        assert!(!relay.will_cut());
        assert_eq!(exchange(&client(&relay), "hello, world"), "hello, world", "once only");
    }
}

#[test]
fn a_stalled_relay_holds_everything_and_loses_nothing() {
    let relay = Relay::to(echo()).unwrap();
    let old = client(&relay);
    exchange(&old, "hello");
    relay.stall();
    let new = client(&relay);
    for mut stream in [&old, &new] {
        stream.write_all(b"held").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert_eq!(stream.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        stream.set_read_timeout(None).unwrap();
    }
    relay.flow();
    for mut stream in [&old, &new] {
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"held");
    }
    relay.stall();
    relay.cut();
    assert_eq!(relay.links(), 0, "what is stalled can be cut as well");
}

#[test]
fn refused_connections_are_refused_and_open_links_live_on() {
    let relay = Relay::to(echo()).unwrap();
    let old = client(&relay);
    exchange(&old, "hello");
    relay.refuse();
    let error = TcpStream::connect(("127.0.0.1", relay.port())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(exchange(&old, "still"), "still");
    relay.accept().unwrap();
    assert_eq!(exchange(&client(&relay), "again"), "again");
}

#[test]
fn a_server_that_is_gone_is_seen_as_a_reset() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let relay = Relay::to(gone).unwrap();
    let mut stream = client(&relay);
    assert_eq!(stream.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    eventually("no link", || relay.links() == 0);
}
