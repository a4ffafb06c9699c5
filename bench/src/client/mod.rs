//! A client of HTTP/1.1, no cleverer than it needs to be: it shares a machine with what it measures.

mod jar;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::error::{Doing as _, Error, Outcome};

pub(crate) use jar::Jar;

/// A connection that is kept.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What came of the present answer: its head, then its body.
    buffer: Vec<u8>,
}

/// An answer with status 200.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    head: &'a str,
    pub(crate) body: &'a [u8],
}

impl Connection {
    pub(crate) async fn open(port: u16) -> Outcome<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.doing("connecting")?;
        stream.set_nodelay(true).doing("connecting")?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Makes a request and reads the whole answer. Any status but 200 is an error.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Outcome<Answer<'_>> {
        self.stream.write_all(request).await.doing("sending a request")?;
        self.buffer.clear();
        let (head_ends, ends) = loop {
            self.read().await?;
            if let Some(head_ends) = end_of_head(&self.buffer) {
                let head = self.buffer.get(..head_ends).unwrap_or_default();
                break (head_ends, head_ends + content_length(head)?);
            }
        };
        while self.buffer.len() < ends {
            self.read().await?;
        }
        let (head, body) = self.buffer.split_at_checked(head_ends).doing("reading an answer")?;
        let head = std::str::from_utf8(head).doing("reading an answer")?;
        if !head.starts_with("HTTP/1.1 200") {
            let asked = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
            return Err(Error::new(String::from_utf8_lossy(asked), head.trim_end()));
        }
        Ok(Answer { head, body })
    }

    async fn read(&mut self) -> Outcome {
        let read = self.stream.read_buf(&mut self.buffer).await.doing("reading an answer")?;
        if read == 0 { Err(Error::new("reading an answer", "the connection ended")) } else { Ok(()) }
    }
}

impl<'a> Answer<'a> {
    /// The cookies that it sets: each `name=value`, without attributes.
    pub(crate) fn cookies(&self) -> impl Iterator<Item = &'a str> {
        let values = self.head.lines().filter_map(|line| header_of(line, "set-cookie"));
        values.filter_map(|value| value.split(';').next()).map(str::trim)
    }
}

/// Where the head of an answer ends, its empty line included.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|position| position + 4)
}

fn content_length(head: &[u8]) -> Outcome<usize> {
    let head = std::str::from_utf8(head).doing("reading an answer")?;
    let value = head.lines().find_map(|line| header_of(line, "content-length"));
    value.and_then(|value| value.parse().ok()).doing("looking for the length of an answer")
}

/// The value in a line of a head, if it is of the header of this name.
fn header_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (key, rest) = line.split_at_checked(name.len())?;
    key.eq_ignore_ascii_case(name).then(|| rest.strip_prefix(':').map(str::trim))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_head_says() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nset-cookie: a=b; Path=/\r\n\r\nhello, world";
        let end = end_of_head(head).unwrap();
        assert_eq!(content_length(&head[..end]).unwrap(), 12);
        assert_eq!(&head[end..], b"hello, world");
        assert_eq!(end_of_head(b"HTTP/1.1 200 OK\r\n"), None);
    }

    #[test]
    fn an_answer_without_a_length_is_an_error() {
        content_length(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap_err();
    }

    #[test]
    fn cookies_are_told_without_their_attributes() {
        let head = "HTTP/1.1 200 OK\r\nset-cookie: __Host-id=abc; Secure; Path=/\r\nSet-Cookie: b=; Max-Age=0\r\n\r\n";
        let answer = Answer { head, body: b"" };
        assert_eq!(answer.cookies().collect::<Vec<_>>(), ["__Host-id=abc", "b="]);
    }
}
