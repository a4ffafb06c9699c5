//! Connections that want to be held open for nothing.

use std::time::Duration;

use e2e::{Failure, Outcome, run};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[test]
fn connections_that_say_nothing_or_too_little_are_closed() {
    run("silent_connections", &[], async |world| {
        let address = world.server.address();
        let half = "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
        let body = "POST /v1/sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{";
        let (silent, letter, other_protocol, half, body) = tokio::join!(
            closed(&address, ""),
            closed(&address, "P"),
            closed(&address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            closed(&address, half),
            closed(&address, body),
        );
        for answer in [silent, letter, other_protocol, half] {
            let answer = answer?;
            if answer.contains(" 200 ") {
                return Err(Failure::new(format!("nothing was asked, but answered: {answer}")));
            }
        }
        let body = body?;
        if body.starts_with("HTTP/1.1 408 ") {
            Ok(())
        } else {
            Err(Failure::new(format!("a body that does not come: {body}")))
        }
    });
}

/// What the server says to `beginning` before it closes the connection.
async fn closed(address: &str, beginning: &str) -> Outcome<String> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(beginning.as_bytes()).await?;
    let mut answer = Vec::new();
    match timeout(PATIENCE, connection.read_to_end(&mut answer)).await {
        Ok(_) => Ok(String::from_utf8_lossy(&answer).into_owned()),
        Err(_) => Err(Failure::new(format!("still open after {} s: {beginning:?}", PATIENCE.as_secs()))),
    }
}

/// Twice what the server allows for the head of a request, and for its body.
const PATIENCE: Duration = Duration::from_secs(60);
