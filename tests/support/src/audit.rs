//! What the API server says happened: its audit log, an account that owes nothing to the operator.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::cluster::ROOT;

/// One request of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub verb: String,
    /// `pods`, or `loadtests/status`.
    pub resource: String,
    pub name: String,
    /// Who sent it.
    pub user: String,
    /// Whom they acted as.
    pub acting_as: Option<String>,
    pub code: i64,
    /// The uid that a deletion had as its precondition.
    pub uid: Option<String>,
}

/// Requests about one namespace, in the order of their answers. With CLUSTER=existing, AUDIT_LOG names the file.
///
/// # Panics
/// When there is no log to read.
#[must_use]
pub fn requests(namespace: &str) -> Vec<Request> {
    let path = std::env::var_os("AUDIT_LOG")
        .map_or_else(|| PathBuf::from(ROOT).join(".cluster/audit.log"), PathBuf::from);
    let log = fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!(
            "failed to read the API server's audit log {}: {error}. Set AUDIT_LOG to where it is",
            path.display()
        )
    });
    let mark = format!("\"namespace\":\"{namespace}\"");
    log.lines().filter(|line| line.contains(&mark)).filter_map(|line| read(line, namespace)).collect()
}

/// Every deletion of a pod in a namespace that the given user sent or that was sent in his name.
#[must_use]
pub fn deletions_by(namespace: &str, user: &str) -> Vec<Request> {
    let mut all = requests(namespace);
    all.retain(|r| {
        r.resource == "pods"
            && r.verb.starts_with("delete")
            && (r.user == user || r.acting_as.as_deref() == Some(user))
    });
    all
}

fn read(line: &str, namespace: &str) -> Option<Request> {
    let event: Value = serde_json::from_str(line).ok()?;
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    if text("/objectRef/namespace")? != namespace || text("/stage")? != "ResponseComplete" {
        return None;
    }
    let resource = text("/objectRef/resource")?;
    Some(Request {
        verb: text("/verb")?,
        resource: match text("/objectRef/subresource") {
            Some(part) => format!("{resource}/{part}"),
            None => resource,
        },
        name: text("/objectRef/name").unwrap_or_default(),
        user: text("/user/username")?,
        acting_as: text("/impersonatedUser/username"),
        code: event.pointer("/responseStatus/code").and_then(Value::as_i64)?,
        uid: text("/requestObject/preconditions/uid"),
    })
}
