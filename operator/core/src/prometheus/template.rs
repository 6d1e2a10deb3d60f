//! Queries with places to fill in: `sum(rate(errors_total[{{window}}]))`.
//!
//! A template is strict: a name that is not known is refused when the run is planned, and one without a value
//! (a fault's, outside of its windows) when it is rendered. Nothing is ever replaced by an empty text.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use loadtest_crds::{FaultStatus, TargetState};

use crate::prometheus::promql;

/// A query, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Name(Name),
}

/// What can be filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Window,
    Start,
    End,
    Run,
    Namespace,
    FaultName,
    FaultNamespace,
    FaultAt,
    FaultTargets,
}

/// What is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values {
    pub start: Timestamp,
    pub end: Timestamp,
    /// The LoadTest's uid.
    pub run: String,
    pub namespace: String,
    /// In Fault and Recovery windows.
    pub fault: Option<FaultValues>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultValues {
    pub name: String,
    pub namespace: String,
    pub at: Timestamp,
    /// Names of pods.
    pub targets: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("{{{{{name}}}}} is not known: write one of {}", Name::list())]
    Unknown { name: String },
    #[error("`{{{{` without its `}}}}`: close it, as in {{{{window}}}}")]
    Open,
    #[error("{{{{{0}}}}} has a value in Fault and Recovery windows only: judge it there, or leave it out")]
    NoFault(Name),
}

impl Name {
    pub const ALL: [(&'static str, Self); 9] = [
        ("window", Self::Window),
        ("start", Self::Start),
        ("end", Self::End),
        ("run", Self::Run),
        ("namespace", Self::Namespace),
        ("fault.name", Self::FaultName),
        ("fault.namespace", Self::FaultNamespace),
        ("fault.at", Self::FaultAt),
        ("fault.targets", Self::FaultTargets),
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, name)| *name == self).map_or("", |(text, _)| text)
    }

    #[must_use]
    pub fn is_of_fault(self) -> bool {
        matches!(self, Self::FaultName | Self::FaultNamespace | Self::FaultAt | Self::FaultTargets)
    }

    fn list() -> String {
        Self::ALL.map(|(text, _)| format!("{{{{{text}}}}}")).join(", ")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Template {
    /// Takes a text apart.
    ///
    /// # Errors
    /// [`TemplateError`] says what to write instead.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, behind) = after.split_once("}}").ok_or(TemplateError::Open)?;
            let name = name.trim();
            let known = Name::ALL.iter().find(|(text, _)| *text == name).map(|(_, known)| *known);
            let known = known.ok_or_else(|| TemplateError::Unknown { name: name.to_owned() })?;
            pieces.extend([Piece::Text(before.to_owned()), Piece::Name(known)]);
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self { pieces })
    }

    /// What it asks to be filled in.
    pub fn names(&self) -> impl Iterator<Item = Name> + '_ {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Name(name) => Some(*name),
            Piece::Text(_) => None,
        })
    }

    /// True where nothing is to be filled in.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.names().next().is_none()
    }

    /// Fills it in.
    ///
    /// # Errors
    /// [`TemplateError::NoFault`] where it asks for a fault and there is none.
    pub fn render(&self, values: &Values) -> Result<String, TemplateError> {
        self.pieces.iter().try_fold(String::new(), |mut text, piece| {
            match piece {
                Piece::Text(own) => text.push_str(own),
                Piece::Name(name) => text.push_str(&values.of(*name)?),
            }
            Ok(text)
        })
    }
}

impl Values {
    /// Values that are there for all names: what is rendered with them is checked, and never asked.
    #[must_use]
    pub fn example() -> Self {
        let at = Timestamp::UNIX_EPOCH;
        Self {
            start: at,
            end: at.saturating_add(jiff::SignedDuration::from_secs(60)).unwrap_or(at),
            run: "run".to_owned(),
            namespace: "namespace".to_owned(),
            fault: Some(FaultValues {
                name: "fault".to_owned(),
                namespace: "namespace".to_owned(),
                at,
                targets: vec!["pod".to_owned()],
            }),
        }
    }

    fn of(&self, name: Name) -> Result<String, TemplateError> {
        let fault = || self.fault.as_ref().ok_or(TemplateError::NoFault(name));
        Ok(match name {
            Name::Window => {
                length(Duration::try_from(self.end.duration_since(self.start)).unwrap_or_default())
            }
            Name::Start => promql::seconds(self.start),
            Name::End => promql::seconds(self.end),
            Name::Run => self.run.clone(),
            Name::Namespace => self.namespace.clone(),
            Name::FaultName => fault()?.name.clone(),
            Name::FaultNamespace => fault()?.namespace.clone(),
            Name::FaultAt => promql::seconds(fault()?.at),
            // A regular expression; a dot needs no backslash so, whichever quotes are around it.
            Name::FaultTargets => fault()?.targets.join("|").replace('.', "[.]"),
        })
    }
}

impl FaultValues {
    /// Of a fault that was injected.
    #[must_use]
    pub fn of(fault: &FaultStatus) -> Option<Self> {
        let hit = fault.targets.iter().filter(|target| target.state == TargetState::Injected);
        Some(Self {
            name: fault.name.clone(),
            namespace: fault.targets.first()?.namespace.clone(),
            at: fault.injected()?,
            targets: hit.map(|target| target.name.clone()).collect(),
        })
    }
}

/// A length as PromQL writes it, to the millisecond, and never none.
fn length(length: Duration) -> String {
    let millis = length.as_millis().max(1);
    if millis.is_multiple_of(1000) { format!("{}s", millis / 1000) } else { format!("{millis}ms") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    fn values() -> Values {
        let fault = FaultValues {
            name: "kill-dbman".to_owned(),
            namespace: "msg-server".to_owned(),
            at: at(11_000),
            targets: vec!["dbman-1".to_owned(), "dbman.b".to_owned()],
        };
        Values {
            start: at(10_500),
            end: at(15_000),
            run: "4f1c".to_owned(),
            namespace: "team".to_owned(),
            fault: Some(fault),
        }
    }

    #[rstest]
    #[case("max(up)", "max(up)")]
    #[case("sum(increase(a[{{window}}]))", "sum(increase(a[4500ms]))")]
    #[case("a @ {{ start }} + a @ {{end}}", "a @ 10.500 + a @ 15.000")]
    #[case("up{run=\"{{run}}\",namespace=\"{{namespace}}\"}", "up{run=\"4f1c\",namespace=\"team\"}")]
    #[case(
        "up{pod=~\"{{fault.targets}}\",n=\"{{fault.namespace}}\"}",
        "up{pod=~\"dbman-1|dbman[.]b\",n=\"msg-server\"}"
    )]
    #[case("{{fault.name}} {{fault.at}}", "kill-dbman 11.000")]
    fn filled_in(#[case] text: &str, #[case] rendered: &str) {
        assert_eq!(Template::parse(text).unwrap().render(&values()).unwrap(), rendered);
    }

    #[test]
    fn a_whole_number_of_seconds_is_shown_so() {
        let minute = Values { end: at(70_500), ..values() };
        assert_eq!(Template::parse("{{window}}").unwrap().render(&minute).unwrap(), "60s");
    }

    #[rstest]
    #[case(
        "a[{{windw}}]",
        "{{windw}} is not known: write one of {{window}}, {{start}}, {{end}}, {{run}}, {{namespace}}, {{fault.name}}, {{fault.namespace}}, {{fault.at}}, {{fault.targets}}"
    )]
    #[case("a[{{window]", "`{{` without its `}}`: close it, as in {{window}}")]
    #[case(
        "a{b=\"{{}}\"}",
        "{{}} is not known: write one of {{window}}, {{start}}, {{end}}, {{run}}, {{namespace}}, {{fault.name}}, {{fault.namespace}}, {{fault.at}}, {{fault.targets}}"
    )]
    fn refused(#[case] text: &str, #[case] why: &str) {
        assert_eq!(Template::parse(text).unwrap_err().to_string(), why);
    }

    #[test]
    fn a_fault_is_filled_in_only_where_there_is_one() {
        let template = Template::parse("up{pod=~\"{{fault.targets}}\"}").unwrap();
        let steady = Values { fault: None, ..values() };
        let why = "{{fault.targets}} has a value in Fault and Recovery windows only: judge it there, or leave it out";
        assert_eq!(template.render(&steady).unwrap_err().to_string(), why);
        assert!(template.names().all(Name::is_of_fault) && !template.is_plain());
    }
}
