//! What finding a request's API costs: among 10,000 routes, and by the model in its body.
//!
//! `cargo bench -p tidegate-benches --bench route`

use divan::Bencher;
use divan::counter::BytesCount;
use tidegate_proxy::policy::model_field::ModelField;
use tidegate_proxy::policy::route::{RouteTable, Rule};

const ROUTES: usize = 10_000;

/// How the routes differ.
#[derive(Debug, Clone, Copy)]
enum By {
    Host,
    Wildcard,
    Path,
    DeepPath,
}

fn main() {
    divan::main();
}

fn rule(by: By, number: usize) -> Rule {
    let (host, path) = match by {
        By::Host => (Some(format!("api-{number}.models.example.com")), "/".to_owned()),
        By::Wildcard => (Some(format!("*.team-{number}.example.com")), "/v1".to_owned()),
        By::Path => (None, format!("/api-{number}")),
        By::DeepPath => (None, format!("/models/team/region/api-{number}/v1/predict")),
    };
    Rule { host, path, ..Rule::default() }
}

/// A request's host and path that lead to this route.
fn request(by: By, number: usize) -> (String, String) {
    let host = match by {
        By::Host => format!("api-{number}.models.example.com:8080"),
        By::Wildcard => format!("a.team-{number}.example.com"),
        By::Path | By::DeepPath => "gateway.example.com".to_owned(),
    };
    let path = match by {
        By::Host => "/v1/chat/completions".to_owned(),
        By::Wildcard => "/v1/chat/completions".to_owned(),
        By::Path => format!("/api-{number}/v1/chat/completions"),
        By::DeepPath => format!("/models/team/region/api-{number}/v1/predict"),
    };
    (host, path)
}

fn table(by: By) -> RouteTable<usize> {
    RouteTable::new((0..ROUTES).map(|number| (rule(by, number), number)).collect())
}

/// One lookup; each is for another route.
#[divan::bench(args = [By::Host, By::Wildcard, By::Path, By::DeepPath])]
fn find_among_10_000(bencher: Bencher<'_, '_>, by: By) {
    let table = table(by);
    let requests: Vec<_> = (0..ROUTES).map(|number| request(by, number)).collect();
    let mut next = 0;
    bencher.bench_local(|| {
        next = (next + 7919) % ROUTES;
        let (host, path) = &requests[next];
        let found = table.find(divan::black_box(host), divan::black_box(path), |_, _| false);
        assert_eq!(found.map(|found| *found.target), Some(next));
    });
}

/// A request that no rule takes, with as many segments as fit.
#[divan::bench]
fn find_nothing_in_a_long_path(bencher: Bencher<'_, '_>) {
    let table = table(By::DeepPath);
    let path = "/a".repeat(4000);
    bencher.bench(|| table.find("gateway.example.com", divan::black_box(&path), |_, _| false));
}

/// The whole table.
#[divan::bench]
fn build_10_000(bencher: Bencher<'_, '_>) {
    let rules = || (0..ROUTES).map(|number| (rule(By::Path, number), number)).collect();
    bencher.with_inputs(rules).bench_values(RouteTable::new);
}

/// Where the model stands in a body of 220 KB.
#[derive(Debug, Clone, Copy)]
enum Model {
    First,
    LastAfterOneText,
    LastAfterMessages,
}

fn body(model: Model) -> String {
    let words = "the quick brown fox jumps over the lazy dog, and so on. ".repeat(3900);
    let messages = |count: usize| {
        let text: String = words.chars().take(words.len() / count).collect();
        vec![format!(r#"{{"role":"user","content":"{text}"}}"#); count].join(",")
    };
    match model {
        Model::First => format!(r#"{{"model":"m","prompt":"{words}"}}"#),
        Model::LastAfterOneText => format!(r#"{{"prompt":"{words}","model":"m"}}"#),
        Model::LastAfterMessages => format!(r#"{{"messages":[{}],"model":"m"}}"#, messages(1000)),
    }
}

/// The scan of a whole body.
#[divan::bench(args = [Model::First, Model::LastAfterOneText, Model::LastAfterMessages])]
fn find_model(bencher: Bencher<'_, '_>, model: Model) {
    let body = body(model);
    bencher
        .counter(BytesCount::of_str(&body))
        .bench(|| ModelField::new().feed(divan::black_box(body.as_bytes())));
}
