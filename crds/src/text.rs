//! Strings with a grammar: what people write (`300ms`, `99.9%`), checked by the API server.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

macro_rules! text {
    ($name:ident, $pattern:literal, $doc:literal) => {
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

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "maxLength": 32, "pattern": $pattern })
            }
        }
    };
}

text!(
    DurationText,
    r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$",
    "A length of time as people write it: `300ms`, `90s`, `1m30s`, `24h`."
);
text!(
    LimitText,
    r"^-?[0-9]+(\.[0-9]+)?(%|ms|s|m|h|k|M|G|Ki|Mi|Gi|Ti)?$",
    "A limit with its unit: `300ms`, `99.9%`, `5000`, `1.5Gi`."
);
