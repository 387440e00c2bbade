//! The house's own rules over the source tree, as text: what a compiler doesn't check.
//!
//! Each rule is a function from sources to violations, run over the real tree and over a planted
//! violation, so that a rule which no longer sees anything fails too.

mod layout;
mod rank;
mod source;

use rank::Crate;
use source::{Source, Violation};

#[test]
fn the_tree_keeps_the_house_rules() {
    let tree = source::tree();
    assert!(tree.len() > 50, "only {} files were found: is this the workspace?", tree.len());
    let mut found = Vec::new();
    found.extend(layout::length(&tree, layout::EXCUSED_LENGTHS));
    found.extend(layout::file_doc(&tree));
    found.extend(layout::names(&tree));
    found.extend(layout::strangers(&tree));
    found.extend(layout::no_kubernetes(&tree));
    found.extend(layout::no_libm(&tree));
    for of in [&rank::PROXY, &rank::AUTOSCALER, &rank::KUBERNETES] {
        found.extend(layout::policy(&tree, of.folder));
        found.extend(rank::order(&tree, of));
    }
    let report: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{} against the house rules:\n{}", report.len(), report.join("\n"));
}

// === each rule sees what it is for ===

fn rs(path: &str, text: &str) -> Source {
    Source::new(path, text)
}

/// The lines that a rule names, all in the one planted file.
fn lines(found: &[Violation]) -> Vec<usize> {
    found.iter().map(|violation| violation.line).collect()
}

#[test]
fn a_long_file_and_a_stale_excuse_are_seen() {
    let long = "//! Doc.\n".to_owned() + &"fn f() {}\n".repeat(399);
    let tree = [rs("a/src/long.rs", &long), rs("a/src/short.rs", "//! Doc.\n")];
    let none: &[(&str, usize, &str)] = &[];
    assert_eq!(lines(&layout::length(&tree, none)), [400]);
    assert!(layout::length(&tree, &[("a/src/long.rs", 400, "a table")]).is_empty());
    assert_eq!(layout::length(&tree, &[("a/src/long.rs", 399, "a table")]).len(), 1, "has grown");
    assert_eq!(layout::length(&tree[1..], &[("a/src/short.rs", 500, "")]).len(), 1, "is short now");
    assert_eq!(layout::length(&tree[1..], &[("a/src/gone.rs", 500, "")]).len(), 1, "is gone");
}

#[test]
fn a_file_without_a_doc_is_seen() {
    assert_eq!(lines(&layout::file_doc(&[rs("a/src/x.rs", "use std::fmt;\n//! Late.\n")])), [1]);
    assert!(layout::file_doc(&[rs("a/src/x.rs", "//! Doc.\n")]).is_empty());
}

#[test]
fn a_drawer_for_everything_is_seen() {
    for path in [
        "a/src/utils.rs",
        "a/src/common/x.rs",
        "a/src/helpers.rs",
        "a/src/mod.rs",
        "a/src/pool_manager.rs",
    ] {
        assert_eq!(layout::names(&[rs(path, "")]).len(), 1, "{path}");
    }
    assert!(layout::names(&[rs("a/src/commonly.rs", ""), rs("a/src/model.rs", "")]).is_empty());
}

#[test]
fn parts_that_import_each_other_are_seen() {
    let tree = [
        rs("proxy/src/a.rs", "//! Doc.\nuse tidegate_autoscaler::App;\n"),
        rs("autoscaler/Cargo.toml", "[dependencies]\ntidegate-proxy.workspace = true\n"),
        rs("cli/src/a.rs", "use tidegate_autoscaler::App;\n"),
        rs("proxy/src/b.rs", "// not tidegate_autoscaler\n"),
    ];
    assert_eq!(lines(&layout::strangers(&tree)), [2, 2]);
}

#[test]
fn kubernetes_is_seen() {
    let tree = [
        rs("proxy/Cargo.toml", "[dependencies]\nkube = \"1\"\n"),
        rs("kubernetes/src/a.rs", "//! Doc.\n\nuse kube::Client;\n"),
        rs("simulate/src/a.rs", "//! Doc.\n\nuse kube::Client;\n"),
        rs("api/src/a.rs", "// kube::Client\nfn kubelet() {}\n"),
    ];
    assert_eq!(lines(&layout::no_kubernetes(&tree)), [2, 3]);
}

/// What `cargo tree` says of the sidecar without features, each crate on a line.
#[test]
fn the_slim_sidecar_has_no_kubernetes_client() {
    let tree = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--prefix", "none", "--edges", "normal"])
        .args(["--package", "tidegate-proxy", "--no-default-features"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let tree = String::from_utf8(tree.stdout).expect("it is text");
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"hyper"), "this is no tree of the sidecar:\n{tree}");
    let is_kubernetes = |name: &&&str| name.starts_with("kube") || name.starts_with("k8s");
    let found: Vec<_> = names.iter().filter(is_kubernetes).collect();
    assert!(found.is_empty(), "the slim sidecar has {found:?}");
}

#[test]
fn libm_is_seen() {
    let text =
        "//! Doc.\nfn f(x: f64) -> f64 { x.ln() }\n// x.exp()\nfn g(x: f64) -> f64 { x.powi(2) }\n";
    let found = layout::no_libm(&[rs("proxy/src/a.rs", text), rs("autoscaler/src/a.rs", text)]);
    assert_eq!(lines(&found), [2]);
}

#[test]
fn a_policy_that_reaches_out_is_seen() {
    let cargo = rs("proxy/Cargo.toml", "[dependencies]\ntokio.workspace = true\nhttp = \"1\"\n");
    let bad = rs(
        "proxy/src/policy/bad.rs",
        "//! Doc.\nuse std::time::Instant;\nuse crate::policy::slots::Slots;\nuse crate::clock;\n\
         use tokio::sync::Mutex;\nfn f() { http::Method::GET; }\nfn g() { Instant::now(); }\n\
         async fn h() {}\nuse std::net::TcpStream;\n// crate::gate, tokio::spawn\n\
         #[cfg(test)]\n#[expect(x)]\nmod tests {\n    use crate::clock;\n    use proptest::prelude::*;\n}\n",
    );
    let elsewhere = rs("proxy/src/gate.rs", "use tokio::sync::Mutex;\n");
    let found = layout::policy(&[cargo, bad, elsewhere], "proxy");
    assert_eq!(lines(&found), [4, 5, 6, 7, 8, 9]);
}

const PLANTED: Crate = Crate {
    folder: "a",
    ranks: &[("low", 1), ("high", 2), ("peer", 2), ("gone", 3)],
    excused: &[("peer", "high", "for the test")],
};

#[test]
fn an_import_against_the_order_is_seen() {
    let tree = [
        rs("a/src/low.rs", "//! D.\nuse crate::high::X;\nfn f() { super::peer::g() }\n"),
        rs(
            "a/src/high.rs",
            "use crate::low::X;\nuse crate::{\n    low::Y,\n    peer::{Z, high},\n};\n",
        ),
        rs(
            "a/src/high/inner.rs",
            "use super::low;\nuse super::super::peer;\nuse crate::high::W;\n",
        ),
        rs("a/src/peer.rs", "use crate::high::X;\npub(crate) use crate::low::Y;\n"),
        rs("a/src/new.rs", "use crate::low::X;\n"),
        rs("a/src/lib.rs", "use crate::new;\n"),
        rs("b/src/low.rs", "use crate::high;\n"),
    ];
    let found: Vec<_> = rank::order(&tree, &PLANTED)
        .into_iter()
        .map(|violation| (violation.path, violation.line))
        .collect();
    let expected = [
        ("a/src/low.rs", 2),
        ("a/src/low.rs", 3),
        ("a/src/high.rs", 4),
        ("a/src/high/inner.rs", 2),
        ("a/src/new.rs", 1),
        ("tests/tidy/rank.rs", 1),
    ];
    assert_eq!(found, expected.map(|(path, line)| (path.to_owned(), line)));
}

#[test]
fn an_excuse_that_nobody_needs_is_seen() {
    let tree = [
        rs("a/src/low.rs", ""),
        rs("a/src/high.rs", ""),
        rs("a/src/peer.rs", ""),
        rs("a/src/gone.rs", ""),
    ];
    let found = rank::order(&tree, &PLANTED);
    assert_eq!(found.len(), 1);
    assert!(found[0].to_string().contains("no longer"), "{}", found[0]);
}
