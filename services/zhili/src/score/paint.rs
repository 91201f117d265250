//! Colours of a terminal, or none.

use std::fmt;
use std::io::IsTerminal;

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Also into a pipe or file.
    Always,
    /// Not at all.
    Never,
}

/// What a piece of text is, for the eye.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// As the terminal writes.
    #[default]
    Plain,
    /// Speaks for the writer.
    Good,
    /// Speaks against the writer.
    Bad,
    /// Calls for somebody.
    Urgent,
    /// Less important.
    Dim,
    /// A heading or a result.
    Bold,
}

/// Colours text or leaves it alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// Decides for standard output.
    pub(crate) fn for_stdout(color: Color) -> Self {
        let on = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                // By convention, an empty NO_COLOR asks for nothing.
                std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::io::stdout().is_terminal()
            }
        };
        Self { on }
    }

    /// `value` in the colours of `style`.
    pub(crate) fn paint<T: fmt::Display>(self, style: Style, value: T) -> Painted<T> {
        Painted { style: if self.on { style } else { Style::Plain }, value }
    }
}

/// A value with its colours.
pub(crate) struct Painted<T> {
    style: Style,
    value: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = match self.style {
            Style::Plain => return self.value.fmt(f),
            Style::Good => "32",
            Style::Bad => "31",
            Style::Urgent => "1;37;41",
            Style::Dim => "2",
            Style::Bold => "1",
        };
        write!(f, "\u{1b}[{code}m")?;
        self.value.fmt(f)?;
        f.write_str("\u{1b}[0m")
    }
}

/// `text` without what could command a terminal; line feeds stay if `lines`.
pub(crate) fn shown(text: &str, lines: bool) -> String {
    let harmless = |c: char| match c {
        '\n' if lines => '\n',
        '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        // Marks that turn the direction of what follows.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(harmless).collect()
}
