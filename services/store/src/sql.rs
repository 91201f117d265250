//! Just enough of ClickHouse's lexical grammar to see what kind of statement a request holds:
//! where an INSERT's data begins, which format a result has. Parsing is the engine's.

use std::ops::Range;

/// A lexical element; comments and white space are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bare word or number: keyword, identifier, `0x1f`.
    Word,
    /// A quoted identifier.
    Quoted,
    /// A string literal or a heredoc.
    Text,
    /// One byte of punctuation.
    Symbol(u8),
}

/// A lexical element and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Range<usize>,
}

/// Reads tokens one by one, so that what follows `FORMAT x` may be anything.
pub(crate) struct Lexer<'text> {
    text: &'text [u8],
    at: usize,
}

impl<'text> Lexer<'text> {
    pub(crate) fn new(text: &'text [u8]) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'text [u8] {
        &self.text[self.at..]
    }

    fn skip_past(&mut self, end: &[u8]) {
        let found = self.rest().windows(end.len()).position(|window| window == end);
        self.at = found.map_or(self.text.len(), |index| self.at + index + end.len());
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            if rest.first().is_some_and(|byte| byte.is_ascii_whitespace() || *byte == 0x0b) {
                self.at += 1;
            } else if rest.starts_with(b"--") || rest.starts_with(b"# ") || rest.starts_with(b"#!")
            {
                self.skip_past(b"\n");
            } else if rest.starts_with(b"/*") {
                self.at += 2;
                self.skip_past(b"*/");
            } else {
                return;
            }
        }
    }

    /// End of what `quote` opens at the current byte; a backslash escapes, a doubled quote stays.
    fn skip_quoted(&mut self, quote: u8) {
        self.at += 1;
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            if byte == b'\\' {
                self.at = (self.at + 1).min(self.text.len());
            } else if byte == quote {
                if self.text.get(self.at) != Some(&quote) {
                    return;
                }
                self.at += 1;
            }
        }
    }

    /// `$tag$ ... $tag$`, if one opens here.
    fn skip_heredoc(&mut self) -> bool {
        let rest = self.rest();
        let Some(length) = rest[1..].iter().position(|byte| *byte == b'$') else {
            return false;
        };
        let tag = &rest[..length + 2];
        if !tag[1..tag.len() - 1].iter().all(|byte| is_word(*byte)) {
            return false;
        }
        self.at += tag.len();
        self.skip_past(tag);
        true
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_blank();
        let start = self.at;
        let kind = match *self.text.get(start)? {
            b'\'' => {
                self.skip_quoted(b'\'');
                Kind::Text
            }
            quote @ (b'"' | b'`') => {
                self.skip_quoted(quote);
                Kind::Quoted
            }
            b'$' if self.skip_heredoc() => Kind::Text,
            byte if is_word(byte) => {
                let length = self.rest().iter().take_while(|byte| is_word(**byte)).count();
                self.at += length;
                Kind::Word
            }
            byte => {
                self.at += 1;
                Kind::Symbol(byte)
            }
        };
        Some(Token { kind, span: start..self.at })
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Statement {
    /// `INSERT` whose data the request carries, in the text after `data` or in the body.
    Insert {
        /// The statement without its `FORMAT x` or `VALUES`.
        head: Range<usize>,
        /// Format of the data; `Values` for `VALUES`.
        format: String,
        /// Where data within the text begins; its length when there is none.
        data: usize,
    },
    /// `SELECT`, with or without `WITH`: a result that can be streamed.
    Select {
        /// The `FORMAT` clause of the statement.
        format: Option<String>,
    },
    /// Anything else, `INSERT ... SELECT` included.
    Other {
        /// The `FORMAT` clause of the statement.
        format: Option<String>,
    },
}

/// Looks at a statement.
pub(crate) fn look_at(text: &[u8]) -> Statement {
    let word = |token: &Token| {
        (token.kind == Kind::Word).then(|| text[token.span.clone()].to_ascii_uppercase())
    };
    let first = Lexer::new(text).find(|token| token.kind != Kind::Symbol(b'('));
    match first.as_ref().and_then(word).as_deref() {
        Some(b"INSERT") => look_at_insert(text),
        Some(b"SELECT") => Statement::Select { format: output_format(text) },
        Some(b"WITH") if !has_top_level_insert(text) => {
            Statement::Select { format: output_format(text) }
        }
        _ => Statement::Other { format: output_format(text) },
    }
}

fn look_at_insert(text: &[u8]) -> Statement {
    let mut depth = 0_u32;
    let mut lexer = Lexer::new(text);
    while let Some(token) = lexer.next() {
        match token.kind {
            Kind::Symbol(b'(') => depth += 1,
            Kind::Symbol(b')') => depth = depth.saturating_sub(1),
            Kind::Word if depth == 0 => {
                match text[token.span.clone()].to_ascii_uppercase().as_slice() {
                    b"FORMAT" => {
                        if let Some(name) = lexer.next().filter(|name| name.kind == Kind::Word) {
                            return Statement::Insert {
                                head: 0..token.span.start,
                                format: String::from_utf8_lossy(&text[name.span.clone()]).into(),
                                data: data_after_format(text, name.span.end),
                            };
                        }
                        break;
                    }
                    b"VALUES" => {
                        return Statement::Insert {
                            head: 0..token.span.start,
                            format: "Values".into(),
                            data: token.span.end,
                        };
                    }
                    b"SELECT" | b"WITH" | b"FROM" | b"WATCH" | b"EXPLAIN" => break,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    Statement::Other { format: None }
}

/// Data begins after the blanks and the one line break that follow the format's name.
fn data_after_format(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b';')) {
        at += 1;
    }
    if text.get(at) == Some(&b'\r') {
        at += 1;
    }
    if text.get(at) == Some(&b'\n') {
        at += 1;
    }
    at
}

fn has_top_level_insert(text: &[u8]) -> bool {
    Lexer::new(text)
        .any(|token| token.kind == Kind::Word && text[token.span].eq_ignore_ascii_case(b"INSERT"))
}

/// The name in a `FORMAT` clause that ends the statement (only SETTINGS may follow).
fn output_format(text: &[u8]) -> Option<String> {
    let tokens: Vec<Token> = Lexer::new(text).collect();
    let is = |index: usize, word: &[u8]| {
        tokens.get(index).is_some_and(|token: &Token| {
            token.kind == Kind::Word && text[token.span.clone()].eq_ignore_ascii_case(word)
        })
    };
    let at = (0..tokens.len()).rev().find(|index| is(*index, b"FORMAT"))?;
    let name = tokens.get(at + 1).filter(|token| token.kind == Kind::Word)?;
    let ends = match tokens.get(at + 2) {
        None => true,
        Some(next) => next.kind == Kind::Symbol(b';') || is(at + 2, b"SETTINGS"),
    };
    ends.then(|| String::from_utf8_lossy(&text[name.span.clone()]).into())
}

/// Whether a statement *might* reach outside the store in a way that the engine's own grants do
/// not cover; [`reaches_outside`] then decides on the engine's canonical rendering of it.
pub(crate) fn is_suspect(text: &[u8]) -> bool {
    let lower = text.to_ascii_lowercase();
    let holds = |needle: &[u8]| lower.windows(needle.len()).any(|window| window == needle);
    OUTSIDE_FUNCTIONS.iter().any(|name| holds(name.as_bytes()))
        || holds(b"outfile")
        || holds(b"infile")
        // An escape within a quoted identifier can spell any of the names.
        || (lower.contains(&b'\\') && (lower.contains(&b'`') || lower.contains(&b'"')))
}

/// Functions that read files or configure disks without asking for a grant.
const OUTSIDE_FUNCTIONS: [&str; 3] = ["file", "catboostevaluate", "disk"];

/// The construct by which a statement, rendered by the engine (no comments, one way of quoting),
/// reaches outside the store; `None` when it does not.
pub(crate) fn reaches_outside(canonical: &str) -> Option<String> {
    let text = canonical.as_bytes();
    let tokens: Vec<Token> = Lexer::new(text).collect();
    // A backup's `File('name')` is confined to one folder by the engine.
    let is_backup = canonical.starts_with("BACKUP ") || canonical.starts_with("RESTORE ");
    tokens.windows(2).find_map(|pair| {
        let name = match pair[0].kind {
            Kind::Word => &canonical[pair[0].span.clone()],
            Kind::Quoted => canonical[pair[0].span.clone()].trim_matches(['`', '"']),
            _ => return None,
        };
        let lower = name.to_ascii_lowercase();
        match pair[1].kind {
            Kind::Symbol(b'(') if is_backup && lower == "file" => None,
            Kind::Symbol(b'(') if OUTSIDE_FUNCTIONS.contains(&lower.as_str()) => {
                Some(format!("function {name}"))
            }
            Kind::Text if lower == "outfile" || lower == "infile" => {
                Some(name.to_ascii_uppercase())
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(text: &str) -> (String, String, String) {
        match look_at(text.as_bytes()) {
            Statement::Insert { head, format, data } => {
                (text[head].trim_end().into(), format, text[data..].into())
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    fn triple(head: &str, format: &str, data: &str) -> (String, String, String) {
        (head.into(), format.into(), data.into())
    }

    #[test]
    fn an_inserts_data_begins_after_the_line_of_its_format() {
        assert_eq!(
            insert("INSERT INTO t (a, b) FORMAT JSONEachRow\n{\"a\": 1}"),
            triple("INSERT INTO t (a, b)", "JSONEachRow", "{\"a\": 1}")
        );
        assert_eq!(
            insert("insert into `format` (`values`, format) format CSV"),
            triple("insert into `format` (`values`, format)", "CSV", "")
        );
        assert_eq!(
            insert("INSERT INTO t FORMAT RowBinary\n\n\u{1}"),
            triple("INSERT INTO t", "RowBinary", "\n\u{1}")
        );
    }

    #[test]
    fn values_are_a_format_of_their_own() {
        assert_eq!(
            insert("INSERT INTO t VALUES (1, ')'), (2, 'FORMAT x')"),
            triple("INSERT INTO t", "Values", " (1, ')'), (2, 'FORMAT x')")
        );
    }

    #[test]
    fn an_insert_from_a_query_carries_no_data() {
        for text in [
            "INSERT INTO t SELECT 1 FORMAT Null",
            "INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x",
            "INSERT INTO t FROM INFILE 'x' FORMAT CSV",
            "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
        ] {
            assert!(matches!(look_at(text.as_bytes()), Statement::Other { .. }), "{text}");
        }
    }

    #[test]
    fn the_format_of_a_result_is_the_last_clause() {
        let format = |text: &str| match look_at(text.as_bytes()) {
            Statement::Select { format } | Statement::Other { format } => format,
            other @ Statement::Insert { .. } => panic!("{other:?}"),
        };
        assert_eq!(format("SELECT 1 FORMAT JSON"), Some("JSON".into()));
        assert_eq!(format("SELECT 1 FORMAT Native SETTINGS a = 1;"), Some("Native".into()));
        assert_eq!(format("/* FORMAT CSV */ (SELECT 1) -- FORMAT TSV"), None);
        assert_eq!(format("SELECT 'x FORMAT JSON'"), None);
        assert_eq!(format("SELECT format FROM t"), None);
        assert_eq!(format("SELECT $q$ FORMAT JSON$q$"), None);
        assert_eq!(format("DESCRIBE t FORMAT CSV"), Some("CSV".into()));
    }

    #[test]
    fn a_function_that_reads_files_is_found_however_it_is_quoted() {
        assert_eq!(reaches_outside("SELECT file('/etc/passwd')"), Some("function file".into()));
        assert_eq!(reaches_outside("SELECT `file` ('x')"), Some("function file".into()));
        assert_eq!(reaches_outside("SELECT 1 INTO OUTFILE 'x'"), Some("OUTFILE".into()));
        assert_eq!(
            reaches_outside(
                "CREATE TABLE t (x Int8) ENGINE = MergeTree SETTINGS disk = disk(type = s3)"
            ),
            Some("function disk".into())
        );
    }

    #[test]
    fn a_column_named_file_and_text_that_speaks_of_files_are_no_reach_outside() {
        assert_eq!(reaches_outside("SELECT file, 'file(x)' FROM profile WHERE infile = 1"), None);
    }

    #[test]
    fn the_first_look_misses_no_spelling() {
        for text in ["select FILE('x')", "select `\\x66ile`('x')", "select 1 into outfile 'x'"] {
            assert!(is_suspect(text.as_bytes()), "{text}");
        }
        assert!(!is_suspect(b"SELECT count() FROM v_events WHERE text LIKE '%x\\_y%'"));
    }
}
