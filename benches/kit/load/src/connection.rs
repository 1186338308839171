//! One kept connection of a client that does no more than it must.

use std::io;
use std::net::Ipv4Addr;

use clock::now_ns;
use httparse::{EMPTY_HEADER, Header, Response, Status, parse_chunk_size};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection to a port of loopback, opened when it is needed.
pub struct Connection {
    port: u16,
    socket: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// How an answer's body ends.
enum Length {
    Known(usize),
    Chunked,
    UntilClose,
}

struct Head {
    bytes: usize,
    status: u16,
    length: Length,
    close: bool,
}

/// A failed exchange.
struct Broken {
    /// Nothing had come back: a kept connection that the other side had closed meanwhile.
    unanswered: bool,
    cause: io::Error,
}

impl Connection {
    /// A connection that is not open yet.
    pub fn new(port: u16) -> Self {
        Self { port, socket: None, buffer: Vec::with_capacity(16 * 1024) }
    }

    /// Sends a request and reads its answer to the end. `piece` gets each part of the body, with the time of its arrival in
    /// nanoseconds. Returns the status.
    pub async fn exchange(&mut self, request: &[u8], mut piece: impl FnMut(&[u8], u64)) -> io::Result<u16> {
        let kept = self.socket.is_some();
        let mut outcome = self.attempt(request, &mut piece).await;
        if kept && outcome.as_ref().is_err_and(|broken| broken.unanswered) {
            outcome = self.attempt(request, &mut piece).await;
        }
        outcome.map_err(|broken| broken.cause)
    }

    async fn attempt(&mut self, request: &[u8], piece: &mut impl FnMut(&[u8], u64)) -> Result<u16, Broken> {
        self.buffer.clear();
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => connect(self.port).await.map_err(|cause| Broken { unanswered: false, cause })?,
        };
        let head = match send(&mut socket, &mut self.buffer, request).await {
            Ok(head) => head,
            Err(cause) => return Err(Broken { unanswered: self.buffer.is_empty(), cause }),
        };
        let whole = body(&mut socket, &mut self.buffer, &head, piece).await;
        whole.map_err(|cause| Broken { unanswered: false, cause })?;
        if !head.close {
            self.socket = Some(socket);
        }
        Ok(head.status)
    }
}

async fn connect(port: u16) -> io::Result<TcpStream> {
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Sends a request and reads until its answer's head is whole.
async fn send(socket: &mut TcpStream, buffer: &mut Vec<u8>, request: &[u8]) -> io::Result<Head> {
    socket.write_all(request).await?;
    loop {
        fill(socket, buffer).await?;
        if let Some(head) = parse(buffer)? {
            return Ok(head);
        }
    }
}

/// Reads an answer's body, whose start may be in the buffer behind the head.
async fn body(socket: &mut TcpStream, buffer: &mut Vec<u8>, head: &Head, piece: &mut impl FnMut(&[u8], u64)) -> io::Result<()> {
    let mut arrived = now_ns();
    match head.length {
        Length::Known(bytes) => {
            let end = head.bytes + bytes;
            while buffer.len() < end {
                fill(socket, buffer).await?;
                arrived = now_ns();
            }
            piece(&buffer[head.bytes..end], arrived);
        }
        Length::UntilClose => {
            piece(&buffer[head.bytes..], arrived);
            buffer.clear();
            while socket.read_buf(buffer).await? > 0 {
                piece(buffer, now_ns());
                buffer.clear();
            }
        }
        Length::Chunked => {
            let mut taken = head.bytes;
            while !unchunk(buffer, &mut taken, |data| piece(data, arrived))? {
                buffer.drain(..taken);
                taken = 0;
                fill(socket, buffer).await?;
                arrived = now_ns();
            }
        }
    }
    Ok(())
}

async fn fill(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    match socket.read_buf(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn parse(buffer: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [EMPTY_HEADER; 48];
    let mut response = Response::new(&mut headers);
    let Status::Complete(bytes) = response.parse(buffer).map_err(io::Error::other)? else { return Ok(None) };
    let (mut length, mut close) = (Length::UntilClose, false);
    for Header { name, value } in response.headers.iter() {
        if name.eq_ignore_ascii_case("content-length") {
            let digits = str::from_utf8(value).map_err(io::Error::other)?;
            length = Length::Known(digits.trim().parse().map_err(io::Error::other)?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            length = Length::Chunked;
        } else if name.eq_ignore_ascii_case("connection") {
            close = value.eq_ignore_ascii_case(b"close");
        }
    }
    close |= matches!(length, Length::UntilClose);
    Ok(Some(Head { bytes, status: response.code.unwrap_or(0), length, close }))
}

/// Takes whole chunks from `buffer[*taken..]`. Returns whether the last one was among them.
fn unchunk(buffer: &[u8], taken: &mut usize, mut data: impl FnMut(&[u8])) -> io::Result<bool> {
    loop {
        let rest = &buffer[*taken..];
        let Status::Complete((start, size)) = parse_chunk_size(rest).map_err(|_| io::Error::other("bad chunk size"))? else {
            return Ok(false);
        };
        let end = start + usize::try_from(size).map_err(io::Error::other)?;
        if rest.len() < end + 2 {
            return Ok(false);
        }
        *taken += end + 2;
        if size == 0 {
            return Ok(true);
        }
        data(&rest[start..end]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_taken_whole_wherever_the_reads_split_them() {
        let wire = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n";
        for split in 0..wire.len() {
            let (mut text, mut taken) = (Vec::new(), 0);
            let early = unchunk(&wire[..split], &mut taken, |data| text.extend_from_slice(data)).unwrap();
            assert!(!early, "split at {split}");
            assert!(unchunk(wire, &mut taken, |data| text.extend_from_slice(data)).unwrap());
            assert_eq!(text, b"hello world", "split at {split}");
        }
    }

    #[test]
    fn the_head_says_how_the_body_ends() {
        let head = |text: &[u8]| parse(text).unwrap().unwrap();
        assert!(matches!(head(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n").length, Length::Known(7)));
        assert!(matches!(head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").length, Length::Chunked));
        assert!(head(b"HTTP/1.0 200 OK\r\n\r\n").close);
        assert!(parse(b"HTTP/1.1 200 OK\r\ncontent-").unwrap().is_none());
        assert!(parse(b"nonsense\r\n\r\n").is_err());
    }
}
