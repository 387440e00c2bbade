//! TLS between a gateway and its sidecars, each of which asks the other for a certificate.

use super::files;
use crate::support::gateway::{Gateway, entry};
use crate::support::http::{connect, get};
use crate::support::load::Load;
use crate::support::process::Process;
use crate::support::python::python;
use crate::support::sidecar::{Sidecar, listening, plain_model};
use crate::support::tls::{Authority, Pair};
use crate::support::{eventually, replace};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tidegate_api::endpoints::EndpointEntry;

const NAME: &str = "sidecar.internal";

/// Where the files of a gateway and of sidecars are, all of one authority.
struct Mesh {
    folder: TempDir,
    authority: Authority,
    ca: String,
    sidecar: String,
    gateway: String,
}

impl Mesh {
    fn new() -> Self {
        let (folder, authority) = (TempDir::new().unwrap(), Authority::new());
        let ca = authority.write(folder.path(), "mesh.pem");
        let place = |pair: Pair, name| pair.mount(&folder.path().join(name)).to_owned();
        let sidecar = place(authority.issue(&[NAME]), "sidecar");
        let gateway = place(authority.issue(&["gateway.internal"]), "gateway");
        Self { folder, authority, ca, sidecar, gateway }
    }

    fn before(&self, model: Process, address: SocketAddr) -> Sidecar {
        let own = ["--tls-cert", &self.sidecar, "--tls-client-ca", &self.ca];
        let flags = ["--concurrency", "4", "--trusted-hops", "127.0.0.0/8"];
        Sidecar::before(model, address, &[&own[..], &flags].concat())
    }

    fn plain(&self) -> Sidecar {
        let (model, address) = plain_model(0);
        self.before(model, address)
    }

    fn gateway(&self, flags: &[&str]) -> Gateway {
        let own = ["--upstream-tls-ca", &self.ca, "--upstream-tls-cert", &self.gateway];
        let name = ["--upstream-tls-name", NAME];
        Gateway::start_at_root(&[&own[..], &name, flags].concat())
    }
}

/// Passes bytes on, and counts the connections.
struct Relay {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
}

impl Relay {
    fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&count);
        std::thread::spawn(move || {
            for from in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::Relaxed);
                let Ok(to) = TcpStream::connect(to) else { continue };
                for (mut from, mut to) in [
                    (from.try_clone().unwrap(), to.try_clone().unwrap()),
                    (to.try_clone().unwrap(), from.try_clone().unwrap()),
                ] {
                    std::thread::spawn(move || {
                        drop(std::io::copy(&mut from, &mut to));
                        drop(to.shutdown(std::net::Shutdown::Write));
                    });
                }
            }
        });
        Self { address, count }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_pass_connections_are_kept_and_a_killed_sidecar_is_missed() {
    let mesh = Mesh::new();
    let sidecars = [mesh.plain(), mesh.plain()];
    let relays = [0, 1].map(|index| Relay::start(sidecars[index].data));
    let gateway = mesh.gateway(&[]);
    let relayed = |index: usize| EndpointEntry {
        address: relays[index].address,
        ..entry(if index == 0 { "a" } else { "b" }, &sidecars[index], 4)
    };
    gateway.write_endpoints(vec![relayed(0)]);
    gateway.wait_for_limit(4.0);
    for turn in 0..50 {
        assert_eq!(get(gateway.data, &format!("/turn/{turn}")).status, 200);
    }
    // One for each worker: a note of the sidecar's TLS is neither an answer nor an end.
    assert!(relays[0].count.load(Ordering::Relaxed) <= 2);
    let seen = sidecars[0].model.wait_for_line("/turn/49");
    // What the client spoke comes first.
    assert!(seen.contains("x-forwarded-proto=http "), "{seen}");
    assert!(seen.contains("proto=http, for=127.0.0.1;host=test;proto=https"), "{seen}");
    gateway.write_endpoints(vec![relayed(0), relayed(1)]);
    gateway.wait_for_limit(8.0);
    let load = Load::start(6, gateway.data, "/echo");
    load.wait_for_more(100);
    let [mut left, _right] = sidecars;
    left.process.signal(rustix::process::Signal::KILL);
    left.process.wait();
    eventually("it is out", || gateway.metric("tidegate_concurrency_limit", "") == 4.0);
    load.wait_for_more(100);
    let answers = load.stop().await;
    // Only what ran there when it died.
    let lost: usize = answers.iter().filter(|(kind, _)| kind.0 != 200).map(|(_, n)| n).sum();
    assert!(lost <= 4, "{answers:?}");
    assert_eq!(
        gateway.metric("tidegate_tls_handshake_failures_total", "reason=\"certificate\""),
        0.0
    );
}

#[test]
fn calls_sockets_and_a_client_s_leaving_pass_through_both() {
    let mesh = Mesh::new();
    let sidecar = mesh.plain();
    let gateway = mesh.gateway(&[]);
    gateway.write_endpoints(vec![entry("a", &sidecar, 4)]);
    gateway.wait_for_limit(4.0);
    let mut client = connect(gateway.data);
    client.write_all(b"GET /sleep?ms=60000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    sidecar.model.wait_for_line("/sleep");
    drop(client);
    sidecar.model.wait_for_line("LEFT /sleep");
    sidecar.wait_until_idle();
    let Some(python) = python() else { return };
    for (model, client, scenarios) in [
        ("models/websocket_echo.py", "clients/websocket.py", &["basics"][..]),
        ("models/grpc_echo.py", "clients/grpc_echo.py", &["basics", "metadata", "errors", "large"]),
    ] {
        let model = python.start(model, &[]);
        let address = listening(&model);
        let sidecar = mesh.before(model, address);
        gateway.write_endpoints(vec![entry(client, &sidecar, 4)]);
        eventually("it is the one", || {
            gateway.metric("tidegate_endpoints", "state=\"ready\"") == 1.0
                && String::from_utf8_lossy(&get(gateway.admin, "/endpoints").body).contains(client)
        });
        for scenario in scenarios {
            python.run(client, &[scenario, &gateway.data.to_string()]);
        }
    }
}

#[test]
fn who_is_not_who_it_must_be_gets_no_request() {
    let mesh = Mesh::new();
    let sidecar = mesh.plain();
    let stranger = Authority::new();
    let strange_ca = stranger.write(mesh.folder.path(), "strange.pem");
    let strange = mesh.folder.path().join("strange");
    let strange = stranger.issue(&["gateway.internal"]).mount(&strange).to_owned();
    let ca = mesh.ca.as_str();
    let named = ["--upstream-tls-name", NAME];
    // A sidecar that is not believed, of another name, of no address; a gateway without a
    // certificate, or with a strange one.
    for (flags, reason) in [
        (["--upstream-tls-ca", &strange_ca, named[0], named[1]].as_slice(), "certificate"),
        (&["--upstream-tls-ca", ca, named[0], "other.internal"], "certificate"),
        (&["--upstream-tls-ca", ca], "certificate"),
        (&["--upstream-tls-ca", ca, named[0], named[1]], ""),
        (&["--upstream-tls-ca", ca, named[0], named[1], "--upstream-tls-cert", &strange], ""),
    ] {
        let gateway = Gateway::start_at_root(flags);
        gateway.write_endpoints(vec![entry("a", &sidecar, 4)]);
        gateway.wait_for_limit(4.0);
        let refused =
            || sidecar.metric("tidegate_tls_handshake_failures_total", "reason=\"certificate\"");
        let before = refused();
        assert_eq!(get(gateway.data, "/never").status, 502, "{flags:?}");
        if reason.is_empty() {
            eventually("the sidecar counts it", || refused() > before);
        } else {
            let labels = format!("reason=\"{reason}\",side=\"endpoint\"");
            assert!(gateway.metric("tidegate_tls_handshake_failures_total", &labels) >= 1.0);
            gateway.process.wait_for_line("no TLS with an endpoint");
        }
    }
    // Without TLS.
    let gateway = Gateway::start_at_root(&[]);
    gateway.write_endpoints(vec![entry("a", &sidecar, 4)]);
    gateway.wait_for_limit(4.0);
    assert_eq!(get(gateway.data, "/never").reason(), "tls-required");
    assert_eq!(sidecar.model.count_lines("/never"), 0);
    // A certificate for its address needs no name.
    let (_folder, own) = files();
    let by_address = Sidecar::start(&["--tls-cert", &own.path]);
    let gateway = Gateway::start_at_root(&["--upstream-tls-ca", &own.ca]);
    gateway.write_endpoints(vec![entry("b", &by_address, 1)]);
    gateway.wait_for_limit(1.0);
    assert_eq!(get(gateway.data, "/").status, 200);
}

#[test]
fn what_a_gateway_can_not_use_leaves_what_it_shows_and_whom_it_believes() {
    let mesh = Mesh::new();
    let sidecar = mesh.plain();
    let gateway = mesh.gateway(&[]);
    // Each time by a new name, so that hands are shaken anew.
    let answers = |name: &str, sidecar: &Sidecar| {
        gateway.write_endpoints(vec![entry(name, sidecar, 4)]);
        eventually("it is the one", || {
            get(gateway.admin, "/endpoints").text().contains(name)
                && gateway.metric("tidegate_endpoints", "state=\"ready\"") == 1.0
        });
        get(gateway.data, "/").status
    };
    assert_eq!(answers("first", &sidecar), 200);
    let next = mesh.authority.issue(&["gateway.internal"]);
    let expired = mesh.authority.issue_until(&["gateway.internal"], 2020);
    let other = Pair { key: next.key.clone(), ..expired.clone() };
    let failures = || gateway.metric("tidegate_reload_failures_total", "");
    let is_kept = |what: &str, change: &dyn Fn()| {
        let before = failures();
        change();
        eventually("it is counted", || failures() > before);
        gateway.process.wait_for_line(what);
        assert_eq!(answers(&what.replace(' ', "-"), &sidecar), 200, "{what}");
    };
    let mount = |pair: &Pair| {
        pair.mount(Path::new(&mesh.gateway));
    };
    is_kept("the key is not the certificate's", &|| mount(&other));
    is_kept("the certificate has expired", &|| mount(&expired));
    is_kept("it is no PEM", &|| {
        replace(Path::new(&mesh.ca), mesh.authority.pem.split_at(200).0);
    });
    is_kept("it has no certificate", &|| replace(Path::new(&mesh.ca), ""));
    is_kept("can't read", &|| std::fs::remove_file(&mesh.ca).unwrap());
    // What can be used is what sidecars see from now on: this one knows of no other.
    let stranger = Authority::new();
    let theirs = stranger.write(mesh.folder.path(), "theirs.pem");
    let (model, address) = plain_model(0);
    let flags = ["--tls-cert", &mesh.sidecar, "--tls-client-ca", &theirs, "--concurrency", "4"];
    let choosy = Sidecar::before(model, address, &flags);
    assert_eq!(answers("choosy", &choosy), 502);
    mount(&stranger.issue(&["gateway.internal"]));
    gateway.process.wait_for_line("certificates changed");
    assert_eq!(answers("choosy-again", &choosy), 200);
    assert_eq!(answers("as-before", &sidecar), 502);
}

#[test]
fn a_gateway_follows_its_files() {
    let mesh = Mesh::new();
    let sidecar = mesh.plain();
    let gateway = mesh.gateway(&[]);
    gateway.write_endpoints(vec![entry("a", &sidecar, 4)]);
    gateway.wait_for_limit(4.0);
    assert_eq!(get(gateway.data, "/").status, 200);
    let next = mesh.authority.issue_until(&["gateway.internal"], 2080);
    next.mount(Path::new(&mesh.gateway));
    let ends = || gateway.metric("tidegate_tls_certificate_expiry_timestamp_seconds", "gateway");
    // `date -ud 2080-01-01 +%s`.
    eventually("it is in force", || ends() == 3_471_292_800.0);
    let shown = get(gateway.admin, "/config").text();
    assert!(shown.contains("upstream-tls-cert") && shown.contains(&mesh.gateway), "{shown}");
    assert!(!shown.contains("PRIVATE"), "{shown}");
    let mut stream = connect(gateway.data);
    stream.write_all(b"GET / HTTP/1.1\r\nhost: me\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
