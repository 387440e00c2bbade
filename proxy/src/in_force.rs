//! What a process runs with, as its admin page shows it: the settings that it was started with and
//! where each comes from, and what it follows in a file, with the last fault in that.

use crate::clock;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is in force. Nothing in it is secret: who puts something in sees to that.
#[derive(Debug)]
pub struct InForce {
    role: &'static str,
    started: String,
    settings: Value,
    followed: Mutex<Followed>,
}

/// What comes from a file that is followed.
#[derive(Debug, Default)]
struct Followed {
    file: Option<String>,
    /// When what is in force was read.
    read_at: Option<String>,
    /// Why the file as it is now can't be used, and since when.
    fault: Option<(String, String)>,
    /// What is in force, as text: ten thousand routes would take much more room as values.
    now: String,
}

// === impl InForce ===

impl InForce {
    /// Of a process that was started with these settings, and follows this file.
    pub fn new(role: &'static str, settings: Value, file: Option<&Path>) -> Self {
        let file = file.map(|file| file.display().to_string());
        let followed = Followed { file, ..Followed::default() };
        Self { role, started: clock::timestamp(), settings, followed: Mutex::new(followed) }
    }

    /// From now on this is in force.
    pub fn took(&self, now: &Value) {
        let mut followed = self.lock();
        followed.read_at = Some(clock::timestamp());
        followed.fault = None;
        followed.now = now.to_string();
    }

    /// The file was found to say what is in force already.
    pub fn is_as_before(&self) {
        self.lock().fault = None;
    }

    /// The file can't be used; what was stays in force.
    pub fn keeps(&self, fault: &str) {
        self.lock().fault = Some((fault.to_owned(), clock::timestamp()));
    }

    /// All of it, as JSON.
    pub fn page(&self) -> String {
        let followed = self.lock();
        let fault = followed.fault.as_ref();
        let fault = fault.map(|(what, since)| json!({ "what": what, "since": since }));
        let now = serde_json::from_str(&followed.now).unwrap_or(Value::Null);
        let page = json!({
            "role": self.role,
            "version": env!("CARGO_PKG_VERSION"),
            "startedAt": self.started,
            "settings": self.settings,
            "file": { "path": followed.file, "readAt": followed.read_at, "fault": fault },
            "inForce": now,
        });
        format!("{page:#}\n")
    }

    fn lock(&self) -> MutexGuard<'_, Followed> {
        // Only whole values are put in.
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
