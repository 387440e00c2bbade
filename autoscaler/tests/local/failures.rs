//! What can't work says so, and leaves nothing behind.

use crate::world::{BINARY, World, models, until};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use tidegate_api::InferenceApi;
use tidegate_autoscaler::local::{PreflightError, preflight};
use tidegate_autoscaler::{App, Settings, StartError};

#[tokio::test]
async fn a_model_that_ends_at_start_ends_the_run_with_its_last_words() {
    let world = World::new(1, 1, "exit");
    let message = world.run_to_failure().await.to_string();
    for part in [
        "api api: gave up after 3 failed starts in a row",
        "exit status: 3",
        "model.py {port} exit",
        &world.settings.log_dir.display().to_string(),
        "| weights are missing, line 19",
    ] {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
    let models = models(&world.logs());
    assert_eq!(models.len(), 3);
    assert!(models.iter().all(|pid| !crate::world::exists(*pid)));
    assert!(world.endpoints().apis["api"].is_empty());
}

/// An API of this name whose requests are split among these.
fn split(name: &str, versions: [&str; 2]) -> InferenceApi {
    let [old, new] = versions;
    let text = format!(
        "{{apiVersion: tidegate.dev/v1alpha1, kind: InferenceApi, metadata: {{name: {name}}}, spec: {{\
         traffic: {{versions: [{{api: {old}, weight: 90}}, {{api: {new}, weight: 10}}]}}, rollout: \
         {{to: {new}, steps: [{{weight: 10, pause: 60s}}]}}}}}}"
    );
    tidegate_api::parse(&text, "test", Path::new("/")).unwrap().remove(0)
}

#[tokio::test]
async fn a_version_that_can_not_start_is_taken_back_and_ends_nothing() {
    let mut world = World::new(1, 1, "good");
    world.settings.give_up_after = 1;
    let mut new = world.api.clone();
    "new".clone_into(&mut new.name);
    "exit".clone_into(&mut new.container.command[3]);
    let apis = vec![world.api.clone(), new, split("s", ["api", "new"])];
    world
        .run_all(apis, async |running| {
            let of = || running.handle.status().rollouts.remove(0);
            let is_back = || Some(of()).filter(|rollout| rollout.stage == "taken back");
            let rollout = until("taken back", is_back, || format!("{:#?}", of())).await;
            let detail =
                "its replicas don't start: the model ended (exit status: 3) before it was ready";
            assert_eq!((&*rollout.reason, &*rollout.detail), ("start-failed", detail));
            assert_eq!(world.endpoints().weights["s"]["new"], 0);
            running.until_ready(1).await;
        })
        .await;
}

#[tokio::test]
async fn versions_of_which_none_can_start_end_the_run() {
    let world = World::new(1, 1, "exit");
    let mut new = world.api.clone();
    "new".clone_into(&mut new.name);
    let apis = vec![world.api.clone(), new, split("s", ["api", "new"])];
    let message = world.run_all_to_failure(apis).await.to_string();
    assert!(message.contains("gave up after"), "{message}");
}

#[tokio::test]
async fn a_model_that_never_gets_ready_ends_the_run() {
    let mut world = World::new(1, 1, "deaf");
    world.api.readiness.start_timeout = Duration::from_millis(1500);
    world.settings.give_up_after = 1;
    let message = world.run_to_failure().await.to_string();
    assert!(message.contains("not ready within 1s 500ms"), "{message}");
    assert!(models(&world.logs()).iter().all(|pid| !crate::world::exists(*pid)));
}

#[tokio::test]
async fn a_sidecar_that_can_not_start_ends_the_run() {
    for (command, what) in [
        (vec!["false"], "the sidecar ended (exit status: 1)"),
        (vec!["echo", "hello"], "it printed \"hello"),
        (vec!["/nonexistent/sidecar"], "the sidecar ended (exit status: 127)"),
    ] {
        let mut world = World::new(1, 1, "good");
        world.settings.sidecar = command.iter().map(std::ffi::OsString::from).collect();
        let message = world.run_to_failure().await.to_string();
        assert!(message.contains(what), "{message}");
        assert!(message.contains(&format!("command: {}", command.join(" "))), "{message}");
        assert!(models(&world.logs()).iter().all(|pid| !crate::world::exists(*pid)));
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut world = World::new(1, 1, "good");
    world.settings.admin = taken.local_addr().unwrap();
    let settings = Settings { apis: vec![world.api.clone()], ..world.settings.clone() };
    let error = App::bind(settings).await.unwrap_err();
    assert!(matches!(error, StartError::Admin { .. }));
    let message = error.to_string();
    assert!(message.contains(&world.settings.admin.to_string()), "{message}");
    assert!(message.contains("--admin"), "{message}");
}

#[test]
fn preflight_finds_what_can_not_be_started() {
    let world = World::new(1, 2, "good");
    assert_eq!(preflight(&world.api, None), Ok(()));

    let mut api = world.api.clone();
    api.container.command[0] = "no-such-program".to_owned();
    let error = preflight(&api, None).unwrap_err();
    assert!(error.to_string().contains("spec.container.command[0]"), "{error}");
    assert!(error.to_string().contains("no-such-program"), "{error}");
    // The virtual environment's folder is looked into first.
    let bin = world.folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink("/bin/sh", bin.join("no-such-program")).unwrap();
    assert_eq!(preflight(&api, Some(&bin)), Ok(()));
    // With a slash it is a path, seen from the working folder; no file, no program.
    for (program, found) in [("bin/no-such-program", true), ("./missing", false), ("bin/", false)] {
        api.container.command[0] = program.to_owned();
        assert_eq!(preflight(&api, None).is_ok(), found, "{program}");
    }
    std::fs::write(world.folder.path().join("plain"), "no program").unwrap();
    api.container.command[0] = "./plain".to_owned();
    assert!(preflight(&api, None).is_err(), "a file that can't be executed");

    let mut api = world.api.clone();
    api.container.working_dir = Path::new("/nonexistent/folder").into();
    assert!(matches!(preflight(&api, None), Err(PreflightError::WorkingDir { .. })));

    let mut api = world.api.clone();
    api.container.command.truncate(2);
    api.container.env.clear();
    assert!(matches!(preflight(&api, None), Err(PreflightError::NoPort { .. })));
    api.port = std::num::NonZeroU16::new(9000);
    assert!(matches!(preflight(&api, None), Err(PreflightError::SharedPort { .. })));
    api.autoscaling.max_replicas = 1;
    assert_eq!(preflight(&api, None), Ok(()));
}

fn binary(folder: &Path, words: &[&str]) -> Output {
    Command::new(BINARY).args(words).current_dir(folder).output().unwrap()
}

#[test]
fn exit_codes_tell_usage_document_and_the_rest_apart() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.yaml"), "kind: InferenceApi\nspek: 1\n").unwrap();
    let document = "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {name: a}\n\
                    spec: {container: {command: [no-such-program, '{port}']}}\n";
    std::fs::write(folder.path().join("good.yaml"), document).unwrap();
    for (words, code, what) in [
        (vec!["--help"], 0, "Usage"),
        (vec!["run"], 64, "--local"),
        (vec!["run", "--local", "good.yaml", "--tick", "soon"], 64, "--tick"),
        (vec!["run", "--local", "bad.yaml"], 65, "bad.yaml"),
        (vec!["run", "--local", "missing.yaml"], 1, "missing.yaml"),
        (vec!["run", "--local", "good.yaml", "--admin", "127.0.0.1:0"], 1, "no-such-program"),
        (vec!["child", "--parent", "1", "--", "true"], 126, "has ended already"),
    ] {
        let output = binary(folder.path(), &words);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {text}");
        assert!(text.contains(what), "{words:?}: {text}");
    }
}
