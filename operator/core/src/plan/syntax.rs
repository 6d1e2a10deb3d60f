//! The grammar of Kubernetes for labels and names. What is put into a selector or a path is held against it: a `,` in a
//! label would be a second condition, a `/` in a name another object.

const LONGEST_PART: usize = 63;
const LONGEST_NAME: usize = 253;

/// A key of a label, as in `app` or `app.kubernetes.io/name`.
#[must_use]
pub fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_object_name(prefix) && is_qualified(name),
        None => is_qualified(text),
    }
}

/// A value of a label; it may be empty.
#[must_use]
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_qualified(text)
}

/// A name of an object, as in `chat` or `chat.v2`.
#[must_use]
pub fn is_object_name(text: &str) -> bool {
    let part = |part: &str| {
        part.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
            && !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= LONGEST_NAME && text.split('.').all(part)
}

fn is_qualified(text: &str) -> bool {
    let is_end = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= LONGEST_PART
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
        && is_end(text.bytes().next())
        && is_end(text.bytes().last())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("app", true)]
    #[case::prefixed("app.kubernetes.io/name", true)]
    #[case::mixed("App_1.x-Y", true)]
    #[case::empty("", false)]
    #[case::two("app,role", false)]
    #[case::an_operator("app in (a)", false)]
    #[case::no("!app", false)]
    #[case::two_prefixes("a/b/c", false)]
    #[case::upper_prefix("App.io/name", false)]
    #[case::no_prefix("/name", false)]
    fn keys(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(is_label_key(text), expected);
    }

    #[rstest]
    #[case::empty("", true)]
    #[case::plain("dbman", true)]
    #[case::dotted("v1.2_3-X", true)]
    #[case::smuggled("a,role=b", false)]
    #[case::closed("a),role in (b", false)]
    #[case::blank("a b", false)]
    #[case::ends_with_a_dash("a-", false)]
    #[case::just_fits(&"a".repeat(63), true)]
    #[case::too_long(&"a".repeat(64), false)]
    fn values(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(is_label_value(text), expected);
    }

    #[rstest]
    #[case::plain("chat-script", true)]
    #[case::dotted("chat.v2", true)]
    #[case::another_object("../pods/chat", false)]
    #[case::a_query("chat?watch=1", false)]
    #[case::escaped("chat%2f", false)]
    #[case::upper("Chat", false)]
    #[case::empty("", false)]
    #[case::two_dots("a..b", false)]
    fn names(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(is_object_name(text), expected);
    }
}
