//! `spec.sidecar`: its values arrive, and its mistakes are named.

use tidegate_api::Report;
use tidegate_api::document::{AccessLog, Llm, Sidecar};

fn read(sidecar: &str) -> Result<Sidecar, Report> {
    crate::read(&format!("sidecar: {sidecar}")).map(|api| api.sidecar)
}

#[test]
fn what_is_logged_and_counted_arrives() {
    for (text, access_log, llm) in [
        ("{}", AccessLog::Off, None),
        ("{accessLog: off, llm: off}", AccessLog::Off, None),
        ("{accessLog: errors}", AccessLog::Errors, None),
        ("{accessLog: all, llm: openai}", AccessLog::All, Some(Llm::OpenAi)),
        ("{accessLog: 'sampled:0.25'}", AccessLog::Sampled(0.25), None),
    ] {
        assert_eq!(read(text).expect(text), Sidecar { access_log, llm }, "{text}");
    }
}

#[test]
fn values_are_written_as_the_flags_take_them() {
    for text in ["off", "errors", "all", "sampled:0.25", "sampled:1"] {
        let sidecar = read(&format!("{{accessLog: '{text}'}}")).expect(text);
        assert_eq!(sidecar.access_log.to_string(), text);
    }
    assert_eq!(Llm::OpenAi.to_string(), "openai");
}

#[test]
fn mistakes_are_named() {
    let must = "`off`, `errors`, `all`, or `sampled:SHARE` with a share from 0 to 1";
    for (text, path, must) in [
        ("{accessLog: some}", "spec.sidecar.accessLog", must),
        ("{accessLog: sampled}", "spec.sidecar.accessLog", must),
        ("{accessLog: 'sampled:1.5'}", "spec.sidecar.accessLog", must),
        ("{accessLog: 'sampled:NaN'}", "spec.sidecar.accessLog", must),
        ("{llm: other}", "spec.sidecar.llm", r#"one of "off", "openai""#),
        ("{log: all}", "spec.sidecar.log", "`accessLog`"),
    ] {
        let report = read(text).expect_err(text).to_string();
        assert!(report.contains(path) && report.contains(must), "{text}: {report}");
    }
}
