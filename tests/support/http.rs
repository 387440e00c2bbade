//! Requests: a pooled client for load, and raw connections for what a client must not do.

use super::PATIENCE;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status; 0 if the exchange broke off.
    pub(crate) status: u16,
    /// By lower-case name, the last of each.
    pub(crate) headers: HashMap<String, String>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// A client that keeps connections.
#[derive(Clone)]
pub(crate) struct Http(Client<HttpConnector, Full<Bytes>>);

impl Answer {
    /// A header's value, or "".
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// `x-tidegate-reason`, or "".
    pub(crate) fn reason(&self) -> &str {
        self.header("x-tidegate-reason")
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Http {
    /// A client.
    pub(crate) fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    /// `GET`.
    pub(crate) async fn get(&self, to: SocketAddr, target: &str) -> Answer {
        self.send(Method::GET, to, target, "", &[]).await
    }

    /// `GET` with headers.
    pub(crate) async fn get_with(
        &self,
        to: SocketAddr,
        target: &str,
        headers: &[(&'static str, &str)],
    ) -> Answer {
        self.send(Method::GET, to, target, "", headers).await
    }

    /// `POST` of JSON.
    pub(crate) async fn post(&self, to: SocketAddr, target: &str, body: &str) -> Answer {
        self.send(Method::POST, to, target, body, &[]).await
    }

    async fn send(
        &self,
        method: Method,
        to: SocketAddr,
        target: &str,
        body: &str,
        headers: &[(&'static str, &str)],
    ) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{to}{target}"))
            .header("content-type", "application/json");
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value))
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .unwrap();
        let asking = async {
            let (head, body) = self.0.request(request).await.ok()?.into_parts();
            let body = body.collect().await.ok()?.to_bytes().to_vec();
            let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap_or("").to_owned();
            let headers =
                head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
            Some(Answer { status: head.status.as_u16(), headers, body })
        };
        let broken = Answer { status: 0, headers: HashMap::new(), body: Vec::new() };
        tokio::time::timeout(PATIENCE, asking).await.expect("an answer").unwrap_or(broken)
    }
}

/// One blocking `GET` on a connection of its own.
pub(crate) fn get(to: SocketAddr, target: &str) -> Answer {
    let mut stream = connect(to);
    write!(stream, "GET {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
    read_answer(&mut stream)
}

/// A connection whose reads end at [`PATIENCE`].
pub(crate) fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads to the connection's end, and splits head from body. Chunked bodies stay as they are.
pub(crate) fn read_answer(stream: &mut impl Read) -> Answer {
    let mut all = Vec::new();
    // A reset at the end is how a broken stream looks.
    drop(stream.read_to_end(&mut all));
    let text = String::from_utf8_lossy(&all).into_owned();
    let (head, _) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned())).collect();
    let body = all.get(head.len() + 4..).unwrap_or_default().to_vec();
    Answer { status, headers, body }
}

/// The sum of a metric's samples whose labels contain `labels`.
pub(crate) fn metric(admin: SocketAddr, name: &str, labels: &str) -> f64 {
    sum(&get(admin, "/metrics").text(), name, labels)
}

/// The same over a page.
pub(crate) fn sum(page: &str, name: &str, labels: &str) -> f64 {
    page.lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with([' ', '{']) && rest.contains(labels))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
