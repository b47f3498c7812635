//! As much of HTTP/1.1 as the stubs need: requests with a length or in chunks, and answers that say theirs.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

/// A request.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.as_str())
    }
}

/// Reads a request; `None` where the peer has closed.
pub(crate) fn read(reader: &mut impl BufRead) -> Option<Request> {
    let first = line(reader)?;
    let method = first.split(' ').next()?.to_owned();
    let mut request = Request { method, headers: headers(reader)?, body: Vec::new() };
    request.body = body(reader, request.header("content-length"), request.header("transfer-encoding"))?;
    Some(request)
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    match reader.read_line(&mut line) {
        Ok(n) if n > 0 => Some(line.trim_end().to_owned()),
        _ => None,
    }
}

fn headers(reader: &mut impl BufRead) -> Option<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = line(reader)?;
        match line.split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => return Some(headers),
        }
    }
}

fn body(reader: &mut impl BufRead, length: &str, encoding: &str) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    if encoding.eq_ignore_ascii_case("chunked") {
        loop {
            let size = usize::from_str_radix(line(reader)?.split(';').next()?, 16).ok()?;
            let start = body.len();
            body.resize(start + size, 0);
            reader.read_exact(body.get_mut(start..)?).ok()?;
            line(reader)?;
            if size == 0 {
                return Some(body);
            }
        }
    }
    body.resize(length.parse().unwrap_or(0), 0);
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

/// Writes an answer in one go.
pub(crate) fn answer(to: &mut impl Write, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    let mut all = Vec::with_capacity(head.len() + body.len());
    all.extend_from_slice(head.as_bytes());
    all.extend_from_slice(body);
    to.write_all(&all)?;
    to.flush()
}

/// A connection that asks again and again.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
    stream: TcpStream,
}

impl Client {
    /// To an address, `127.0.0.1:PORT`.
    pub(crate) fn new(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::with_capacity(64 * 1024, stream.try_clone()?), stream })
    }

    /// One request, and its answer: status and body.
    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        let all = [head.as_bytes(), body].concat();
        self.stream.write_all(&all).ok()?;
        let status = line(&mut self.reader)?.split(' ').nth(1)?.parse().ok()?;
        let answer = self::headers(&mut self.reader)?;
        let of = |name: &str| answer.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, v)| v.as_str());
        let body = self::body(&mut self.reader, of("content-length"), of("transfer-encoding"))?;
        Some((status, body))
    }
}
