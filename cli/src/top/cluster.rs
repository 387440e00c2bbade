//! `top --cluster`: what the APIs of a cluster do, by their statuses.

use super::{PERIOD, TopArgs};
use crate::backend::{Backend, Change};
use crate::clock;
use crate::listing::{Columns, Table};
use crate::screen::Screen;
use anyhow::Result;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::ops::ControlFlow;

/// Shows them once, or each second until Ctrl-C.
pub(super) async fn show(args: &TopArgs, screen: &Screen) -> Result<()> {
    let backend = Backend::open(&args.place).await?;
    let apis = RefCell::new(backend.list(args.all_namespaces).await?);
    let draw = || {
        let apis = apis.borrow();
        let columns = Columns { namespace: args.all_namespaces, wide: true };
        let lines = Table::new(columns).lines(&apis, clock::wall());
        if args.json {
            screen.line(&json!({ "items": *apis }).to_string());
        } else if screen.is_live() && !args.once {
            screen.draw(&lines);
        } else {
            lines.iter().for_each(|line| screen.line(line));
        }
    };
    draw();
    if args.once {
        return Ok(());
    }
    let follow = backend.follow(None, args.all_namespaces, |change| {
        see(&mut apis.borrow_mut(), change);
        ControlFlow::Continue(())
    });
    let redraw = async {
        loop {
            tokio::time::sleep(PERIOD).await;
            draw();
        }
    };
    tokio::select! {
        done = follow => done,
        () = redraw => Ok(()),
    }
}

fn see(apis: &mut Vec<Value>, change: Change) {
    let key = |api: &Value| {
        let text = |field: &str| api["metadata"][field].as_str().unwrap_or_default().to_owned();
        (text("namespace"), text("name"))
    };
    match change {
        Change::All(all) => *apis = all,
        Change::Gone(gone) => apis.retain(|api| key(api) != key(&gone)),
        Change::Set(new) => {
            apis.retain(|api| key(api) != key(&new));
            apis.push(new);
        }
    }
    apis.sort_by_key(key);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_keep_the_order_of_names() {
        let api = |name: &str, ready: u32| json!({"metadata": {"name": name}, "status": {"ready": ready}});
        let mut apis = vec![api("c", 1)];
        see(&mut apis, Change::Set(api("a", 1)));
        see(&mut apis, Change::Set(api("c", 2)));
        assert_eq!(apis, [api("a", 1), api("c", 2)]);
        see(&mut apis, Change::Gone(api("a", 1)));
        assert_eq!(apis, [api("c", 2)]);
        see(&mut apis, Change::All(vec![api("d", 1), api("b", 1)]));
        assert_eq!(apis, [api("b", 1), api("d", 1)]);
    }
}
