//! A log, read as it comes: what it reports is counted, and only its end is kept, since a runner whose iterations all
//! throw writes megabytes.

use std::collections::VecDeque;

use crate::prometheus::ask::short;

/// Of a longer line so much of its beginning and of its end is looked at: k6 writes the level first, the source last,
/// and what was thrown in between, which may be a whole answer of the system under test.
const HALF_LINE: usize = 4096;

/// How the kubelet says that it cannot read a log (on): as text in its place, with the status of success
/// (kubernetes/kubernetes#140154; the words are those of `pkg/kubelet/kuberuntime` and `cri-client/pkg/logs`).
const KUBELET_FAILED: [&str; 7] = [
    "unable to retrieve container logs for ",
    "failed to try resolving symlinks in path ",
    "failed to open log file ",
    "failed to read log file ",
    "failed to seek ",
    "failed to get parse function: ",
    "rpc error: code = ",
];

/// What was read of a log.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Iterations that threw.
    pub script_errors: i64,
    /// What the script said as it first called `exec.test.fail()`.
    pub marked_failed: Option<String>,
    bytes: usize,
    /// The line that has no end yet.
    line: Vec<u8>,
    end: VecDeque<u8>,
    keeps: usize,
}

impl Log {
    /// One of which so many bytes are kept, from the end.
    #[must_use]
    pub fn keeping(bytes: usize) -> Self {
        Self { keeps: bytes, ..Self::default() }
    }

    /// Takes what comes next.
    pub fn take(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len());
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.count();
            } else if self.line.len() > 4 * HALF_LINE {
                self.line.drain(HALF_LINE..self.line.len() - HALF_LINE);
            }
        }
        self.end.extend(&bytes[bytes.len().saturating_sub(self.keeps)..]);
        self.end.drain(..self.end.len().saturating_sub(self.keeps));
    }

    /// Nothing comes any more.
    ///
    /// # Errors
    /// What the kubelet says, where that stands in place of the log or of its rest.
    pub fn finish(mut self) -> Result<Self, String> {
        let last = String::from_utf8_lossy(&self.line);
        if KUBELET_FAILED.iter().any(|words| last.starts_with(words)) {
            return Err(format!("the kubelet says: {last}"));
        }
        self.count();
        Ok(self)
    }

    fn count(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        if is_exception(&line) {
            self.script_errors += 1;
        } else if self.marked_failed.is_none() {
            self.marked_failed = marked_failed(&line);
        }
        self.line.clear();
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// What is kept of it, from a whole line on where its beginning is left out.
    #[must_use]
    pub fn into_end(mut self) -> String {
        let kept = self.end.make_contiguous();
        if kept.len() == self.bytes {
            return text(kept);
        }
        let whole = kept.iter().position(|byte| *byte == b'\n').map_or(&*kept, |at| &kept[at + 1..]);
        format!("… {} bytes before this are left out\n{}", self.bytes - whole.len(), text(whole))
    }
}

/// No longer than the bytes are, whatever they are.
fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push('?');
        }
    }
    text
}

/// What the last error in a k6 log says, as one line of bounded length.
#[must_use]
pub fn error_in_log(log: &str) -> Option<String> {
    let line = log.lines().rev().find(|line| is_error(line))?;
    let message = match (field(line, " msg="), field(line, " error=")) {
        (Some(what), Some(why)) => format!("{what}: {why}"),
        (Some(what), None) => what,
        (None, _) => line.to_owned(),
    };
    Some(short(&message))
}

/// What k6 logged as a setup() or teardown() threw: an iteration, or the script itself, may have logged errors since.
#[must_use]
pub fn error_of_step(log: &str, step: &str) -> Option<String> {
    let of_step = format!("msg=\"Error executing {step}\"");
    let line = log.lines().rev().find(|line| is_error(line) && line.contains(&of_step))?;
    Some(short(&field(line, " error=")?))
}

/// The value of a field of a line in logfmt.
fn field(line: &str, name: &str) -> Option<String> {
    line.split_once(name).map(|(_, rest)| unquote(rest))
}

/// What a script said as it called `exec.test.fail()`, if this line is k6's report of that.
fn marked_failed(line: &str) -> Option<String> {
    let message = field(line, " msg=").filter(|_| is_error(line))?;
    let said = message.strip_prefix("test marked as failed")?;
    Some(short(said.strip_prefix(": ").unwrap_or(said)))
}

/// True for a line by which k6 reports an error: of the script, of its own, or of an output.
fn is_error(line: &str) -> bool {
    line.contains("level=error") || line.contains("level=fatal")
}

/// True for a line by which k6 reports an iteration that threw. What a script logs itself, by `console.error`,
/// is its own affair: it may well log every failed request of an outage.
fn is_exception(line: &str) -> bool {
    is_error(line) && line.contains("source=stacktrace")
}

/// The value of a logfmt field: a quoted string with its escapes undone, or one word.
fn unquote(text: &str) -> String {
    let Some(quoted) = text.strip_prefix('"') else {
        return text.split(' ').next().unwrap_or_default().to_owned();
    };
    let mut out = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n' | 't' | 'r') => out.push(' '),
                Some(other) => out.push(other),
                None => break,
            },
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const THROWN: &str = r#"level=error msg="Error: boom" executor=constant-vus source=stacktrace"#;
    const NOT_PUSHED: &str = r#"level=info msg="failed to upload metrics: connection refused""#;

    /// Taken in pieces of so many bytes.
    fn read(log: &str, keeps: usize, piece: usize) -> Result<Log, String> {
        let mut read = Log::keeping(keeps);
        log.as_bytes().chunks(piece).for_each(|piece| read.take(piece));
        read.finish()
    }

    #[rstest]
    #[case::bytewise(1)]
    #[case::in_pieces(7)]
    #[case::at_once(usize::MAX)]
    fn what_a_log_reports_is_counted_however_it_comes(#[case] piece: usize) {
        let log = format!("level=info msg=\"ok\"\n{THROWN}\n{NOT_PUSHED}\n{THROWN}");
        let log = read(&log, 1000, piece).unwrap();
        assert_eq!(log.script_errors, 2);
    }

    #[test]
    fn what_a_script_says_as_it_fails_the_test_is_kept() {
        let log = "level=error msg=\"test marked as failed: no \\\"order\\\" was paid\"\n\
                   level=error msg=\"test marked as failed: another\"\nlevel=error msg=\"test run was marked as failed\"\n";
        let said = |log: &str| read(log, 10, 7).unwrap().marked_failed;
        assert_eq!(said(log).as_deref(), Some("no \"order\" was paid"));
        assert_eq!(said("level=error msg=\"test marked as failed\"\n").as_deref(), Some(""));
        assert_eq!(said("level=info msg=\"test marked as failed: no\" source=console\n"), None);
        assert_eq!(read(log, 10, 7).unwrap().script_errors, 0);
    }

    #[test]
    fn what_stands_after_megabytes_is_counted_and_kept() {
        let filler = format!("{}\n", "x".repeat(99));
        let log = read(&format!("{}{THROWN}\n", filler.repeat(50_000)), 250, 8192).unwrap();
        assert_eq!(log.script_errors, 1);
        let end = log.into_end();
        let left_out = format!("… {} bytes before this are left out\n", 50_000 * 100 - 100);
        assert_eq!(end, format!("{left_out}{filler}{THROWN}\n"));
    }

    #[test]
    fn a_line_that_throws_megabytes_is_an_exception_all_the_same() {
        let line = format!(r#"level=error msg="{}" source=stacktrace"#, "x".repeat(3 << 20));
        let mut log = Log::keeping(10);
        for piece in line.as_bytes().chunks(8192) {
            log.take(piece);
            assert!(log.line.len() <= 4 * HALF_LINE + 8192 && log.end.len() <= 10);
        }
        assert_eq!(log.finish().unwrap().script_errors, 1);
    }

    #[rstest]
    #[case::whole("unable to retrieve container logs for containerd://b91ca08d", true)]
    #[case::the_rest(
        "level=info msg=\"ok\"\nfailed to read log file \"/var/log/pods/x\": input/output error",
        true
    )]
    // The script's own: k6 ends its lines.
    #[case::of_the_script("failed to open log file x\n", false)]
    #[case::empty("", false)]
    fn what_the_kubelet_says_is_no_log(#[case] log: &str, #[case] failed: bool) {
        let read = read(log, 100, usize::MAX);
        assert_eq!(read.as_ref().is_err_and(|why| why.starts_with("the kubelet says: ")), failed, "{read:?}");
    }

    #[test]
    fn bytes_that_are_no_text_take_no_more_room() {
        let mut log = Log::keeping(100);
        log.take(b"a\xff\xfe\xe2\x82b\n");
        let end = log.into_end();
        assert!(end.starts_with('a') && end.ends_with("b\n") && end.len() <= 7, "{end}");
    }

    #[test]
    fn the_last_error_of_a_log_becomes_short() {
        let log = "time=\"x\" level=info msg=\"ok\"\n\
                   time=\"x\" level=error msg=\"Error: \\\"boom\\\"\\n\\tat file:///f.js:1:7(12)\\n\" hint=\"script exception\"\n";
        assert_eq!(error_in_log(log).unwrap(), "Error: \"boom\" at file:///f.js:1:7(12)");
        let setup = "time=\"x\" level=error msg=\"Error executing setup\" error=\"Error: no database\\n\\tat setup (file:///f.js:1:33(3))\\n\"";
        assert_eq!(
            error_in_log(setup).unwrap(),
            "Error executing setup: Error: no database at setup (file:///f.js:1:33(3))"
        );
        assert_eq!(error_in_log("nothing here"), None);
        let later = format!("{setup}\n{THROWN}");
        let thrown = "Error: no database at setup (file:///f.js:1:33(3))";
        assert_eq!(error_of_step(&later, "setup").as_deref(), Some(thrown));
        assert_eq!(error_of_step(&later, "teardown"), None);
    }

    #[test]
    fn only_what_was_thrown_is_an_exception() {
        let thrown = r#"level=error msg="Error: boom\n\tat f.js:1:7(12)\n" executor=constant-vus scenario=default source=stacktrace"#;
        let logged = r#"level=error msg="save failed: 503" source=console"#;
        assert!(is_exception(thrown));
        assert!(!is_exception(logged) && is_error(logged));
    }
}
