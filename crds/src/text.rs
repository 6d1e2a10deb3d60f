//! Strings with a grammar: what people write (`300ms`, `99.9%`), checked by the API server.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::schema::text_rule;

macro_rules! text {
    ($name:ident, $doc:literal, $rules:expr) => {
        #[doc = $doc]
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            // Rules and not a pattern: the API server's message for a pattern is the pattern.
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "maxLength": 32, "x-kubernetes-validations": $rules })
            }
        }
    };
}

text!(
    DurationText,
    "A length of time as people write it: `300ms`, `90s`, `1m30s`, `24h`.",
    [
        text_rule(
            "self.matches('^([0-9]{1,9}([.][0-9]{1,9})?(ms|s|m|h))+$')",
            "write a length of time with its units ms, s, m or h and without spaces, as in 300ms, 90s or 1m30s",
        ),
        text_rule(
            "!self.matches('^([0-9]{1,9}([.][0-9]{1,9})?(ms|s|m|h))+$') || (self.matches('^([0-9]{1,9}([.][0-9]{1,9})?(ms|s)|[0-9]{1,5}([.][0-9]{1,9})?[mh])+$') && duration(self) <= duration('168h'))",
            "a length of time is at most 168h, a week",
        ),
    ]
);
text!(
    LimitText,
    "A limit with its unit: `300ms`, `99.9%`, `5000`, `1.5Gi`.",
    [text_rule(
        "self.matches('^-?[0-9]{1,15}([.][0-9]{1,9})?(%|ms|s|m|h|k|M|G|Ki|Mi|Gi|Ti)?$')",
        "write a number with one of the units %, ms, s, m, h, k, M, G, Ki, Mi, Gi, Ti or none, without spaces, as in 300ms, 99.9%, 5000 or 1.5Gi",
    )]
);
