//! `spec.rollingUpdate`: its values arrive, and its mistakes are named.

use tidegate_api::Report;
use tidegate_api::document::{Replicas, RollingUpdate};

fn read(update: &str) -> Result<RollingUpdate, Report> {
    crate::read(&format!("rollingUpdate: {update}")).map(|api| api.rolling_update)
}

#[test]
fn numbers_and_shares_arrive() {
    use Replicas::{Count, Percent};
    for (text, max_surge, max_unavailable) in [
        ("{}", Count(1), Count(0)),
        ("{maxSurge: 3}", Count(3), Count(0)),
        ("{maxSurge: 25%, maxUnavailable: 10%}", Percent(25), Percent(10)),
        ("{maxSurge: 0, maxUnavailable: 1}", Count(0), Count(1)),
        ("{maxSurge: 0%, maxUnavailable: '100%'}", Percent(0), Percent(100)),
    ] {
        assert_eq!(read(text).expect(text), RollingUpdate { max_surge, max_unavailable }, "{text}");
    }
}

#[test]
fn mistakes_are_named() {
    let must = r#"a number of replicas, at most 100000, or a share of them from "0%" to "100%""#;
    for (text, path, must) in [
        ("{maxSurge: 0}", "spec.rollingUpdate.maxSurge", "above 0, or `maxUnavailable` must be"),
        ("{maxSurge: 0%, maxUnavailable: 0%}", "spec.rollingUpdate.maxSurge", "above 0"),
        ("{maxSurge: -1}", "spec.rollingUpdate.maxSurge", must),
        ("{maxSurge: 0.5}", "spec.rollingUpdate.maxSurge", must),
        ("{maxUnavailable: half}", "spec.rollingUpdate.maxUnavailable", must),
        ("{maxUnavailable: 101%}", "spec.rollingUpdate.maxUnavailable", must),
        ("{surge: 1}", "spec.rollingUpdate.surge", "`maxSurge`"),
    ] {
        let report = read(text).expect_err(text).to_string();
        assert!(report.contains(path) && report.contains(must), "{text}: {report}");
    }
}
