//! Connecting, and servers that will not do.

use std::error::Error as _;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use cloakroom_conformance::{Fixtures, T0};
use cloakroom_memcached::MemcachedOptions;
use cloakroom_servers::{Memcached, Port};
use cloakroom_store::{ErrorKind, Store as _, StoreError, Verb};

use crate::fleet::{DEADLINE, Node};

/// An error with all its sources.
fn told(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[test]
fn where_nobody_listens_it_says_so_and_what_to_do() {
    let port = Port::free().unwrap();
    let error = Node::connect([format!("127.0.0.1:{}", port.number())]).err().expect("nobody listens");
    assert_eq!((error.kind(), error.verb()), (ErrorKind::Unavailable, Verb::Open));
    let text = told(&error);
    assert!(text.contains(&port.number().to_string()) && text.contains("check that it runs"), "{text}");
}

#[test]
fn one_server_that_answers_is_enough_to_begin() {
    let (server, port) = (Memcached::start().unwrap(), Port::free().unwrap());
    let node = Node::connect([server.address(), format!("127.0.0.1:{}", port.number())]).unwrap();
    let filing = Fixtures::new(1).signed_in("alice");
    node.file(&filing).unwrap();
    assert!(node.get(filing.digest, T0).is_ok());
}

#[test]
fn what_is_no_memcached_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(b"-ERR unknown command\r\n");
        }
    });
    let error = Node::connect([address]).err().expect("Redis does not speak so");
    assert!(told(&error).contains("no memcached"), "{}", told(&error));
}

#[test]
fn a_server_without_versions_is_refused_before_it_decides_anything() {
    let server = Memcached::start_with(&["-C"]).unwrap();
    let node = Node::connect([server.address()]).unwrap();
    let mut fixtures = Fixtures::new(1);
    let first = fixtures.signed_in("alice");
    let _ = node.file(&first);
    let error = node.file(&fixtures.signed_in("alice")).expect_err("nothing can be swapped");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", told(&error));
    assert!(node.get(first.digest, T0).is_err());
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for options in [
        MemcachedOptions::new(Vec::<String>::new()),
        MemcachedOptions::new(["a:1", "a:1"]),
        MemcachedOptions::new(["a:1"]).with_prefix("two words"),
        MemcachedOptions::new(["a:1"]).with_prefix("p".repeat(65)),
    ] {
        let error = Node::connect_with(options.with_deadline(DEADLINE)).err().expect("no sense");
        assert_eq!((error.kind(), error.verb()), (ErrorKind::Internal, Verb::Open));
    }
}

#[test]
fn a_record_that_no_item_can_hold_is_refused_and_nothing_is_filed() {
    let server = Memcached::start().unwrap();
    let node = Node::connect([server.address()]).unwrap();
    let large = Fixtures::new(1).signed_in("alice").with_attribute("data", vec![7; 1_000_000]);
    assert_eq!(node.file(&large).expect_err("too large").kind(), ErrorKind::Full);
    let found = node.get(large.digest, T0).unwrap();
    assert_eq!(found, cloakroom_store::Lookup::Unknown);
    assert_eq!(node.store().name(), "memcached");
}
