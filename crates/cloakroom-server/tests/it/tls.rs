//! TLS of the server's own, over real sockets.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use cloakroom_servers::Port;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

/// A server with a certificate of its own, ended with the test.
struct Server {
    child: Child,
    port: u16,
    redirect_port: Port,
    client: Arc<ClientConfig>,
    /// Kept open: a server whose words nobody can hear does not start.
    _stdout: BufReader<ChildStdout>,
    _dir: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        std::fs::write(&cert, certified.cert.pem()).unwrap();
        std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
        let redirect_port = Port::free().unwrap();
        let text = format!(
            "listen = \"127.0.0.1:0\"\n[tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n\
             redirect_listen = \"127.0.0.1:{}\"\n",
            redirect_port.number()
        );
        std::fs::write(dir.path().join("cloakroom.toml"), text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .arg("serve")
            .current_dir(dir.path())
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let port = line.trim().trim_end_matches('/').rsplit(':').next().unwrap().parse();
        let port = port.unwrap_or_else(|_| panic!("no port in {line:?}"));
        Self {
            child,
            port,
            redirect_port,
            client: trusting(certified.cert.der().clone()),
            _stdout: stdout,
            _dir: dir,
        }
    }

    fn ask_over_tls(&self, request: &str) -> String {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.client), name).unwrap();
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        let answer = exchange(&mut stream, request);
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        answer
    }

    fn ask_in_clear(&self, request: &str) -> String {
        exchange(
            &mut TcpStream::connect((Ipv4Addr::LOCALHOST, self.redirect_port.number())).unwrap(),
            request,
        )
    }
}

fn trusting(certificate: rustls::pki_types::CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

fn exchange(stream: &mut (impl Read + Write), request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A peer that closes without a farewell has said everything all the same.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[test]
fn pages_are_served_over_tls_with_hsts_and_http_leads_there_or_is_refused() {
    let server = Server::start();
    let page = server.ask_over_tls("GET /sign-in HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(page.contains("strict-transport-security: max-age=31536000; includeSubDomains\r\n"), "{page}");

    let page =
        server.ask_in_clear("GET /sign-in?a=b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 308 "), "{page}");
    assert!(page.contains(&format!("location: https://localhost:{}/sign-in?a=b\r\n", server.port)), "{page}");

    let call =
        "POST /v1/sign-in HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let refusal = server.ask_in_clear(call);
    assert!(refusal.starts_with("HTTP/1.1 403 ") && refusal.contains("\"https_required\""), "{refusal}");
}
