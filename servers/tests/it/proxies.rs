use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use cloakroom_servers::{HaProxy, Nginx, Port};

/// A server that answers each connection with its name.
fn server(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let length = name.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{name}"
            );
        }
    });
    port
}

fn ask(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.rsplit("\r\n").next().unwrap().to_owned()
}

#[test]
fn haproxy_runs_the_configuration_that_it_is_given() {
    let (port, one, two) = (Port::free().unwrap(), server("one"), server("two"));
    let configuration = format!(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n\
         frontend f\n  bind 127.0.0.1:{}\n  default_backend b\n\
         backend b\n  balance roundrobin\n  server one 127.0.0.1:{one}\n  server two 127.0.0.1:{two}\n",
        port.number()
    );
    let proxy = HaProxy::start(&configuration, port).unwrap();
    let mut answers: Vec<String> = (0..4).map(|_| ask(proxy.port())).collect();
    answers.sort();
    assert_eq!(answers, ["one", "one", "two", "two"]);
}

#[test]
fn nginx_runs_the_site_that_it_is_given() {
    let (port, one) = (Port::free().unwrap(), server("one"));
    let site = format!(
        "server {{ listen 127.0.0.1:{}; location / {{ proxy_pass http://127.0.0.1:{one}; }} }}",
        port.number()
    );
    let proxy = Nginx::start(&site, port).unwrap();
    assert_eq!(ask(proxy.port()), "one");
}

#[test]
fn a_configuration_that_is_refused_is_said_to_be() {
    let failure = HaProxy::start("nonsense\n", Port::free().unwrap()).unwrap_err().to_string();
    assert!(failure.contains("nonsense"), "{failure}");
    let failure = Nginx::start("nonsense;", Port::free().unwrap()).unwrap_err().to_string();
    assert!(failure.contains("nonsense"), "{failure}");
}
