//! Proxies and balancers, with the configuration that a test gives them.

use std::{
    ffi::OsString,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    time::Duration,
};

use crate::{
    Failure, Outcome, Port,
    daemon::{Daemon, Recipe, verbs},
    failure::Doing as _,
    find::{HAPROXY, NGINX},
    place::Place,
};

/// HAProxy with a configuration of the caller's.
#[derive(Debug)]
pub struct HaProxy {
    daemon: Daemon,
}

verbs!(HaProxy);

impl HaProxy {
    /// Starts it with `configuration`, a whole file, which makes it listen for HTTP on `port`; returns when it answers
    /// there, whatever the answer.
    ///
    /// # Errors
    /// If it is not installed, refuses the configuration, or does not answer.
    pub fn start(configuration: &str, port: Port) -> Outcome<Self> {
        let place = Place::new("haproxy", None)?;
        let file = place.write("haproxy.cfg", configuration)?;
        // `-db`: one process, which stays in the foreground.
        let arguments = vec!["-db".into(), "-f".into(), file.into()];
        Ok(Self { daemon: start("haproxy", HAPROXY.find()?, arguments, place, port)? })
    }
}

/// nginx with a configuration of the caller's.
#[derive(Debug)]
pub struct Nginx {
    daemon: Daemon,
}

verbs!(Nginx);

impl Nginx {
    /// Starts it with `configuration`, which stands inside of `http { … }`, as a file in `conf.d` does, and makes it listen
    /// for HTTP on `port`; returns when it answers there, whatever the answer.
    ///
    /// # Errors
    /// If it is not installed, refuses the configuration, or does not answer.
    pub fn start(configuration: &str, port: Port) -> Outcome<Self> {
        let place = Place::new("nginx", None)?;
        place.write("site.conf", configuration)?;
        let file = place.write("nginx.conf", NGINX_FRAME)?;
        let mut arguments: Vec<OsString> = vec!["-e".into(), "stderr".into(), "-p".into()];
        arguments.extend([place.path().into(), "-c".into(), file.into()]);
        Ok(Self { daemon: start("nginx", NGINX.find()?, arguments, place, port)? })
    }
}

fn start(
    name: &'static str,
    program: PathBuf,
    arguments: Vec<OsString>,
    place: Place,
    port: Port,
) -> Outcome<Daemon> {
    let recipe = Recipe {
        name,
        program,
        arguments: Box::new(move |_| arguments.clone()),
        ready: Box::new(answers_http),
        neighbours: &[],
    };
    Daemon::start_on(port, recipe, place)
}

/// Any answer will do: one that says that there is no server behind it is the balancer's own.
pub(crate) fn answers_http(port: u16) -> Outcome {
    let asking = || "asking for an HTTP answer".to_owned();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).doing(asking)?;
    stream.set_read_timeout(Some(ANSWER)).doing(asking)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").doing(asking)?;
    let mut head = [0; 5];
    stream.read_exact(&mut head).doing(asking)?;
    if &head == b"HTTP/" { Ok(()) } else { Err(Failure::new(asking(), "the answer is not HTTP")) }
}

/// What nginx needs around a site, with all that it writes in its own directory.
const NGINX_FRAME: &str = "daemon off;
pid nginx.pid;
worker_processes 1;
error_log stderr;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include site.conf;
}
";

/// How long to wait for the answer to one request.
const ANSWER: Duration = Duration::from_secs(10);
