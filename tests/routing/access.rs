//! Who is let in, and how often.

use super::Routed;
use crate::support::http::{Answer, connect, read_answer};
use crate::support::{eventually, replace};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// `printf %s red-key | sha256sum`, and so on.
const RED: &str = "af6bbab6e4aed4aacdfac7ff89ced445c2613aa1454bdc670a49b2fad78bc0b3";
const BLUE: &str = "da71e267b3b77b50077da29f7322e9317a1f629a410f782a1a970f97e2548377";
const OTHER: &str = "580843d03d2216ff1a275d0991bad66e4d1af871171d929e9de604b7959f9bca";

/// Two APIs with keys of their own, and one that is open.
struct Guarded {
    routed: Routed,
    keys: PathBuf,
    _folder: TempDir,
}

impl Guarded {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let file = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let keys = file("keys.txt", format!("# keys\nred:{RED}\n"));
        let others = file("others.txt", format!("other:{OTHER}\n"));
        let access = |path: &Path| format!("  access: {{apiKeys: {{file: {}}}}}", path.display());
        let own = format!("  routes: [{{path: /own}}]\n{}", access(&keys));
        let other = format!("  routes: [{{path: /other}}]\n{}", access(&others));
        let text = format!("  openai: {{models: [m]}}\n{}", access(&keys));
        let apis = [
            ("own", own.as_str()),
            ("other", &other),
            ("text", &text),
            ("open", "  routes: [{path: /open}]"),
        ];
        let routed = Routed::start(&apis, &["--tenant-header", "x-tenant", "--access-log", "all"]);
        Self { routed, keys, _folder: folder }
    }

    fn ask(&self, path: &str, field: &str) -> Answer {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{field}");
        self.routed.ask(head.trim_end(), r#"{"model":"m"}"#)
    }
}

#[test]
fn only_who_has_a_key_is_let_in_and_the_model_never_sees_it() {
    let guarded = Guarded::start();
    for (path, field, status, reason) in [
        ("/own", "authorization: Bearer red-key", 200, ""),
        ("/own", "x-api-key: red-key", 200, ""),
        ("/own", "", 401, "unauthorized"),
        ("/own", "authorization: Bearer wrong", 401, "unauthorized"),
        ("/own", "authorization: Basic red-key", 401, "unauthorized"),
        ("/own", "authorization: Bearer other-key", 403, "forbidden"),
        ("/other", "authorization: Bearer red-key", 403, "forbidden"),
        ("/other", "authorization: Bearer other-key", 200, ""),
        ("/open", "", 200, ""),
        ("/open", "authorization: Bearer anything", 200, ""),
        ("/v1", "authorization: Bearer red-key", 200, ""),
        ("/v1", "authorization: Bearer other-key", 403, "forbidden"),
        ("/v1", "", 401, "unauthorized"),
    ] {
        let answer = guarded.ask(path, field);
        assert_eq!((answer.status, answer.reason()), (status, reason), "{path} {field}");
        assert_eq!(answer.header("www-authenticate") == "Bearer", status == 401, "{path} {field}");
        assert!(!answer.text().contains("-key"), "{}", answer.text());
    }
    let refused: Value = serde_json::from_slice(&guarded.ask("/v1", "").body).unwrap();
    assert_eq!(refused["error"]["code"], "invalid_api_key");
    let list = |field: &str| {
        let head = format!("GET /v1/models HTTP/1.1\r\nhost: x\r\n{field}");
        guarded.routed.ask(head.trim_end(), "").status
    };
    assert_eq!((list(""), list("x-api-key: red-key")), (401, 200));
    for (name, model) in &guarded.routed.models {
        model.wait_for_line("REQUEST");
        let saw = model.output();
        assert!(!saw.contains("-key"), "{name}: {saw}");
        // What is nobody's key here is none of the gateway's business.
        let knows = || model.count_lines("Bearer anything") > 0;
        match name.as_str() {
            "open" => eventually("it saw what is no key of its own", knows),
            _ => assert!(!knows(), "{name}: {saw}"),
        }
    }
    let log = &guarded.routed.gateway.process;
    assert!(log.wait_for_line(r#""tenant":"red""#).contains(r#""api":"own""#));
    assert_eq!(log.count_lines("red-key"), 0);
}

#[test]
fn keys_come_and_go_with_their_file_and_a_wrong_one_changes_nothing() {
    let guarded = Guarded::start();
    let status = |key: &str| guarded.ask("/own", &format!("x-api-key: {key}")).status;
    assert_eq!((status("red-key"), status("blue-key")), (200, 401));
    let replace = |text: &str| replace(&guarded.keys, text);
    replace(&format!("blue:{BLUE}\n"));
    eventually("the new key is known", || status("blue-key") == 200);
    assert_eq!(status("red-key"), 401);
    let failures = || guarded.routed.gateway.metric("tidegate_reload_failures_total", "");
    assert_eq!(failures(), 0.0);
    replace("blue:no digest\n");
    let said = guarded.routed.gateway.process.wait_for_line("can't use the API keys");
    assert!(said.contains("line 1"), "{said}");
    assert_eq!((status("blue-key"), failures()), (200, 1.0));
    std::fs::remove_file(&guarded.keys).unwrap();
    eventually("its loss was noticed", || failures() == 2.0);
    assert_eq!(status("blue-key"), 200);
    replace(&format!("red:{RED}\n"));
    eventually("it was read again", || status("red-key") == 200);
    assert_eq!(status("blue-key"), 401);
}

#[test]
fn a_gateway_whose_keys_can_not_be_read_does_not_start() {
    let folder = TempDir::new().unwrap();
    let document = folder.path().join("api.yaml");
    let spec = "  access: {apiKeys: {file: none.txt}}";
    std::fs::write(&document, super::documents(&[("a", spec)])).unwrap();
    let mut gateway = crate::support::process::Process::start(
        std::process::Command::new(crate::support::binary("tidegate-proxy"))
            .args(["gateway", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--endpoints"])
            .arg(folder.path().join("endpoints.json"))
            .arg("--config")
            .arg(&document),
    );
    assert_eq!(gateway.wait().code(), Some(1));
    let said = gateway.errors();
    assert!(said.contains("none.txt (spec.access.apiKeys.file)"), "{said}");
}

#[test]
fn each_tenant_has_its_rate_and_is_told_it() {
    let slow = |by: &str, rate: &str| {
        format!(
            "  routes: [{{path: /{rate}}}]\n  access: {{rateLimit: {{by: '{by}', {rate}: 0.01}}}}"
        )
    };
    let requests = slow("tenant", "requestsPerSecond");
    let tokens = slow("header:x-user", "tokensPerSecond");
    let apis = [("requests", requests.as_str()), ("tokens", &tokens)];
    let routed = Routed::start(&apis, &["--tenant-header", "x-tenant"]);
    let ask = |path: &str, field: &str| {
        routed.ask(&format!("POST {path} HTTP/1.1\r\nhost: x\r\n{field}"), r#"{"max_tokens":4}"#)
    };
    let first = ask("/requestsPerSecond", "x-tenant: red");
    assert_eq!(first.status, 200);
    assert_eq!(first.header("ratelimit-policy"), "\"requests\";q=1;w=100");
    assert_eq!(first.header("ratelimit"), "\"requests\";r=0;t=100");
    let second = ask("/requestsPerSecond", "x-tenant: red");
    assert_eq!((second.status, second.reason()), (429, "rate-limited"));
    assert_eq!(second.header("ratelimit-policy"), "\"requests\";q=1;w=100");
    let retry_after: u64 = second.header("retry-after").parse().unwrap();
    assert!((90..=100).contains(&retry_after), "{retry_after}");
    assert_eq!(ask("/requestsPerSecond", "x-tenant: blue").status, 200);
    let first = ask("/tokensPerSecond", "x-user: red");
    assert_eq!((first.status, first.header("ratelimit")), (200, "\"tokens\";r=0;t=400"));
    assert_eq!(ask("/tokensPerSecond", "x-user: red\r\nx-tenant: other").status, 429);
    assert_eq!(ask("/tokensPerSecond", "x-user: blue").status, 200);
    eventually("the books agree", || {
        routed.gateway.metric("tidegate_requests_total", r#"reason="rate-limited""#) == 2.0
    });
}

#[test]
fn tokens_are_paid_for_as_a_body_of_no_length_comes_and_come_back_if_it_reaches_no_model() {
    let spec = "  routes: [{path: /}]\n  concurrency: {queueCapacity: 0}\n  access: {rateLimit: \
                {by: 'header:x-user', tokensPerSecond: 100, burst: 1h}}";
    let routed = Routed::start(&[("a", spec)], &[]);
    let ask = |target: &str, user: &str, body: &str| {
        routed.ask(&format!("POST {target} HTTP/1.1\r\nhost: x\r\nx-user: {user}"), body)
    };
    let left = |answer: &Answer| -> u64 {
        let said = answer.header("ratelimit").strip_prefix("\"tokens\";r=").unwrap();
        said.split(';').next().unwrap().parse().unwrap()
    };
    let nothing = r#"{"max_tokens":0}"#;
    // 360,000 tokens are there, and 100 come back each second. The body takes 250,000 of them.
    let mut stream = connect(routed.gateway.data);
    let head = "POST /echo HTTP/1.1\r\nhost: x\r\nx-user: red\r\nconnection: close\r\n";
    write!(stream, "{head}transfer-encoding: chunked\r\n\r\n").unwrap();
    let part = "x".repeat(100_000);
    for _ in 0..10 {
        write!(stream, "{:x}\r\n{part}\r\n", part.len()).unwrap();
    }
    write!(stream, "0\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut stream).status, 200);
    let left_of_red = left(&ask("/x", "red", nothing));
    assert!((109_000..150_000).contains(&left_of_red), "{left_of_red}");

    // Where all slots are taken, a request that is refused has cost nothing in the end.
    let running = [0; 8].map(|_| {
        let mut stream = connect(routed.gateway.data);
        write!(stream, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: x\r\nx-user: green\r\n\r\n")
            .unwrap();
        stream
    });
    let model = &routed.models[0].1;
    eventually("they run", || model.count_lines("/sleep") == running.len());
    for _ in 0..3 {
        let refused = ask("/x", "blue", r#"{"max_tokens":200000}"#);
        assert_eq!(refused.reason(), "queue-full", "{}", refused.status);
    }
    let refused = ask("/x", "blue", nothing);
    assert!(left(&refused) >= 359_000, "{}", left(&refused));
}
