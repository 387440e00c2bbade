//! Asks an endpoint whether it can serve: by HTTP, by TCP, by gRPC's health service, by a command.

use crate::socket::Address;
use bytes::{Buf, Bytes};
use http::header::{CONTENT_TYPE, HOST, TE};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Pid, Signal, kill_process_group};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::str::FromStr;
use std::time::Duration;
use tokio::process::Command;

/// A health answer has a few bytes; one that has more is something else.
const MAX_ANSWER_BYTES: usize = 1 << 10;
/// `grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING`.
const GRPC_SERVING: u8 = 1;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Nothing: always ready.
    None,
    /// A connection can be made.
    Tcp,
    /// `GET` of this path answers with a status from 200 to 399.
    Http(String),
    /// `grpc.health.v1.Health/Check` of this service answers `SERVING`.
    Grpc(String),
    /// The command ends with code 0.
    Exec(Vec<String>),
}

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It took too long.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// No connection, or no program.
    #[error("can't reach it")]
    Io(#[from] std::io::Error),
    /// What came was not HTTP.
    #[error("the exchange broke off")]
    Http(#[from] hyper::Error),
    /// An answer that says no.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// An answer that says no, in gRPC's words.
    #[error("its health service does not say SERVING")]
    NotServing,
    /// The command says no.
    #[error("the command ended with {0}")]
    Exit(ExitStatus),
    /// The path or service can't be put in a request.
    #[error("can't ask that")]
    Request(#[from] http::Error),
}

/// A `--readiness` that can't be understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "must be tcp, none, http:/PATH, grpc:SERVICE (SERVICE may be empty) or exec:[\"COMMAND\", \"ARG\"]"
)]
pub struct ParseProbeError(());

// === impl Probe ===

impl Probe {
    /// Asks once.
    ///
    /// # Errors
    /// If the answer is no, or does not come within `timeout`.
    pub async fn ask(&self, address: &Address, timeout: Duration) -> Result<(), ProbeError> {
        let asking = async {
            match self {
                Self::None => Ok(()),
                Self::Tcp => address.connect().await.map(drop).map_err(ProbeError::Io),
                Self::Http(path) => ask_http(address, path).await,
                Self::Grpc(service) => ask_grpc(address, service).await,
                Self::Exec(command) => ask_command(command).await,
            }
        };
        tokio::time::timeout(timeout, asking).await.unwrap_or(Err(ProbeError::Timeout(timeout)))
    }
}

impl FromStr for Probe {
    type Err = ParseProbeError;

    fn from_str(text: &str) -> Result<Self, ParseProbeError> {
        match text.split_once(':').unwrap_or((text, "")) {
            ("none", "") => Ok(Self::None),
            ("tcp", "") => Ok(Self::Tcp),
            ("http", path) if path.starts_with('/') => Ok(Self::Http(path.to_owned())),
            ("grpc", service) => Ok(Self::Grpc(service.to_owned())),
            ("exec", command) => match serde_json::from_str::<Vec<String>>(command) {
                Ok(command) if !command.is_empty() => Ok(Self::Exec(command)),
                _ => Err(ParseProbeError(())),
            },
            _ => Err(ParseProbeError(())),
        }
    }
}

async fn ask_http(address: &Address, path: &str) -> Result<(), ProbeError> {
    let request =
        Request::get(path).header(HOST, address.authority()).body(Empty::<Bytes>::new())?;
    let stream = address.connect().await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let status = answer_over(connection, sender.send_request(request)).await?.status();
    // As Kubernetes counts it: redirects are a yes too.
    if status.is_success() || status.is_redirection() {
        Ok(())
    } else {
        Err(ProbeError::Status(status))
    }
}

/// What is asked over a connection, which somebody must drive meanwhile.
async fn answer_over<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    asking: impl Future<Output = hyper::Result<T>>,
) -> hyper::Result<T> {
    let mut asking = pin!(asking);
    tokio::select! {
        answer = &mut asking => answer,
        // A server that closes after its answer is heard too: both may come at once.
        ended = connection => asking.await.map_err(|error| ended.err().unwrap_or(error)),
    }
}

async fn ask_grpc(address: &Address, service: &str) -> Result<(), ProbeError> {
    let request =
        Request::post(format!("http://{}/grpc.health.v1.Health/Check", address.authority()))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .body(Full::new(health_check_request(service)))?;
    let stream = address.connect().await?;
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let asking = async {
        let response = sender.send_request(request).await?;
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        Ok::<_, hyper::Error>(body.map(http_body_util::Collected::to_bytes).unwrap_or_default())
    };
    let answer = answer_over(connection, asking).await?;
    if is_serving(answer) { Ok(()) } else { Err(ProbeError::NotServing) }
}

/// A gRPC frame (flag, length, message) with `HealthCheckRequest { service = 1 }` in protobuf.
fn health_check_request(service: &str) -> Bytes {
    // A service name that is longer than a length byte says nothing real.
    let name = service.as_bytes().get(..service.len().min(127)).unwrap_or_default();
    let mut message = Vec::with_capacity(name.len() + 2);
    if !name.is_empty() {
        message.extend([0x0a, name.len() as u8]);
        message.extend(name);
    }
    let mut frame = vec![0];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    frame.into()
}

/// Whether a gRPC frame holds `HealthCheckResponse { status = 1: SERVING }`.
fn is_serving(mut frame: Bytes) -> bool {
    if frame.remaining() < 7 {
        return false;
    }
    let compressed = frame.get_u8() != 0;
    let length = frame.get_u32();
    !compressed && length as usize == frame.remaining() && *frame == [0x08, GRPC_SERVING]
}

/// A command that has not ended yet. Dropped, it ends with all that it has started: a shell's own end
/// would leave those running, and more with each probe.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0
            && let Err(error) = kill_process_group(leader, Signal::KILL)
        {
            tracing::trace!(%error, "a probe's command has ended in this moment");
        }
    }
}

async fn ask_command(command: &[String]) -> Result<(), ProbeError> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let status = child.wait().await?;
    group.0 = None;
    if status.success() { Ok(()) } else { Err(ProbeError::Exit(status)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::SocketAddr;

    #[test]
    fn probes_as_text() {
        for (text, expected) in [
            ("none", Some(Probe::None)),
            ("tcp", Some(Probe::Tcp)),
            ("http:/healthz?full=1", Some(Probe::Http("/healthz?full=1".to_owned()))),
            ("grpc:", Some(Probe::Grpc(String::new()))),
            ("grpc:a.B", Some(Probe::Grpc("a.B".to_owned()))),
            (
                r#"exec:["test","-f","x"]"#,
                Some(Probe::Exec(["test", "-f", "x"].map(String::from).to_vec())),
            ),
            ("exec:[]", None),
            ("exec:test", None),
            ("http:healthz", None),
            ("tcp:80", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }

    #[test]
    fn grpc_health_on_the_wire() {
        assert_eq!(*health_check_request(""), [0, 0, 0, 0, 0]);
        assert_eq!(*health_check_request("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert!(is_serving(Bytes::from_static(&[0, 0, 0, 0, 2, 0x08, 1])));
        assert!(!is_serving(Bytes::from_static(&[0, 0, 0, 0, 2, 0x08, 2])));
        assert!(!is_serving(Bytes::from_static(&[0, 0, 0, 0, 0])));
        assert!(!is_serving(Bytes::from_static(&[1, 0, 0, 0, 2, 0x08, 1])));
    }

    #[tokio::test]
    async fn who_closes_with_its_answer_is_heard_and_who_closes_without_one_is_not_ready() {
        for (answer, expected) in [
            (&b"HTTP/1.0 200 OK\r\n\r\n"[..], true),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
            (b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", false),
            (b"HTTP/1.1 200", false),
            (b"", false),
        ] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = Address::from(listener.local_addr().unwrap());
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let head = BufReader::new(&stream).lines().map_while(Result::ok);
                head.take_while(|line| !line.is_empty()).for_each(drop);
                stream.write_all(answer).unwrap();
            });
            // Answer and end are both there when they are looked at.
            let probe = Probe::Http("/".to_owned());
            let asked = probe.ask(&address, Duration::from_secs(20)).await;
            assert_eq!(asked.is_ok(), expected, "{}: {asked:?}", answer.escape_ascii());
            server.join().unwrap();
        }
    }

    #[tokio::test]
    async fn a_command_says_yes_or_no() {
        let anywhere = &Address::from(SocketAddr::from(([127, 0, 0, 1], 1)));
        let second = Duration::from_secs(20);
        let ask = |command: &str| Probe::Exec(vec![command.to_owned()]);
        assert!(ask("true").ask(anywhere, second).await.is_ok());
        assert!(matches!(ask("false").ask(anywhere, second).await, Err(ProbeError::Exit(_))));
        let missing = ask("no-such-command-anywhere").ask(anywhere, second).await;
        assert!(matches!(missing, Err(ProbeError::Io(_))));
    }
    #[tokio::test]
    async fn a_command_that_takes_too_long_ends_with_what_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", file.display());
        let probe = Probe::Exec(["sh", "-c", &script].map(str::to_owned).to_vec());
        let anywhere = &Address::from(SocketAddr::from(([127, 0, 0, 1], 1)));
        let pause = || tokio::time::sleep(Duration::from_millis(5));
        let started = async {
            loop {
                match std::fs::read_to_string(&file) {
                    Ok(pid) if pid.ends_with('\n') => return pid.trim().to_owned(),
                    _ => pause().await,
                }
            }
        };
        let pid = tokio::select! {
            asked = probe.ask(anywhere, Duration::from_secs(60)) => panic!("{asked:?}"),
            pid = started => pid,
        };
        let runs = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // Who inherits it may be slow to look after it.
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
        };
        let gone = async {
            while runs() {
                pause().await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(20), gone).await.is_ok(), "{pid} runs on");
    }
}
