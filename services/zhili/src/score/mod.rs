//! `zhili score`: assessments of texts, for a person or as JSON lines for programs.

mod jsonl;
pub(crate) mod line;
pub(crate) mod paint;
pub(crate) mod report;

use std::io::{BufRead, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;

use serde_json::value::{RawValue, to_raw_value};
use zhili_runtime::Failure;
use zhili_scoring::text::{MAX_TEXT_BYTES, context_line, language};
use zhili_tone::{ContextLine, Engine, Lang, Message, Role};

use self::line::Answer;
use self::paint::{Color, Paint};
use self::report::Report;

/// What `zhili score` is asked.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
JSON lines (--format jsonl):
  in   {\"id\", \"role\": \"customer\"|\"agent\", \"text\", \"lang\"?, \"context\"?: [\"C:...\", \"A:...\"]}
  out  one line each, in order: {\"id\", \"lang\", \"sentiment\", \"politeness\", \"complaint\",
       \"satisfaction\", \"forbidden\", \"promises\"?, \"question\"?, \"topic\"?, \"evidence\",
       \"text\"?}
  An id is a string or a number. Blank lines are skipped, other fields ignored. A bad line gives
  {\"id\", \"error\": {\"field\", \"message\"}} in its place, and exit code 1 at the end; the field
  is `line` if no single one is at fault. A text has at most 16 KiB, a line at most 4 MiB.")]
pub(crate) struct Arguments {
    /// The message. Without it, every line of standard input is one.
    text: Option<String>,
    #[command(flatten)]
    about: About,
    /// How answers are written, and what standard input holds.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write each answer as a line of JSON; ids count the messages.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// When to colour.
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: Color,
}

/// What is known of a message besides its text.
#[derive(Debug, clap::Args)]
pub(crate) struct About {
    /// Who wrote it: customer (the default) or agent.
    #[arg(long, value_parser = parse_role)]
    role: Option<Role>,
    /// Its language by another source; decides only where the letters do not.
    #[arg(long, value_parser = parse_lang)]
    lang: Option<Lang>,
    /// An earlier line of the conversation, `C:...` or `A:...`; oldest first, may be repeated.
    #[arg(long, value_name = "LINE", value_parser = parse_context)]
    context: Vec<String>,
    /// Phrases of your own on top of the library, to see what they do; may be repeated.
    #[arg(long, value_name = "FILE")]
    phrases: Vec<PathBuf>,
}

/// Form of input and output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For a person.
    #[default]
    Text,
    /// Lines of JSON, in and out.
    Jsonl,
}

fn parse_role(name: &str) -> Result<Role, String> {
    Role::from_name(name).ok_or_else(|| "customer or agent is needed".to_owned())
}

fn parse_lang(name: &str) -> Result<Lang, String> {
    language(name).ok_or_else(|| "zh, zh-Hant, en, mixed or unknown is needed".to_owned())
}

fn parse_context(given: &str) -> Result<String, String> {
    match context_line(given) {
        Ok(_) => Ok(zhili_redact::mask(given).text.into_owned()),
        Err(_) => Err("each line has to start with C: or A:".to_owned()),
    }
}

impl About {
    /// The engine, with the phrases that were given.
    ///
    /// # Errors
    /// [`Failure::Io`] if a file cannot be read, [`Failure::Problems`] naming its first bad line.
    pub(crate) fn engine(&self) -> Result<Engine, Failure> {
        let mut files = Vec::new();
        for path in &self.phrases {
            let name = path.display().to_string();
            let content = std::fs::read_to_string(path)
                .map_err(|error| Failure::Io(format!("cannot read {name}: {error}")))?;
            files.push((name, content));
        }
        let files: Vec<(&str, &str)> =
            files.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
        Engine::with_phrases(&files)
            .map_err(|error| Failure::Problems(format!("cannot load the library: {error}")))
    }

    /// Masks `text` and assesses it.
    ///
    /// # Errors
    /// [`Failure::Usage`] if the text is too long.
    pub(crate) fn assess<'t>(&self, engine: &Engine, text: &'t str) -> Result<Scored<'t>, Failure> {
        if text.len() > MAX_TEXT_BYTES {
            let given = text.len();
            let message =
                format!("a text has at most {MAX_TEXT_BYTES} bytes, this one has {given}");
            return Err(Failure::Usage(message));
        }
        let masked = zhili_redact::mask(text);
        let context: Vec<ContextLine<'_>> =
            self.context.iter().filter_map(|given| context_line(given).ok()).collect();
        let role = self.role.unwrap_or(Role::Customer);
        let message = Message { role, text: &masked.text, lang: self.lang, context: &context };
        Ok(Scored { role, assessment: engine.assess(&message), masked })
    }
}

/// A text and what the engine says of it.
pub(crate) struct Scored<'t> {
    pub(crate) role: Role,
    pub(crate) masked: zhili_redact::Masked<'t>,
    pub(crate) assessment: zhili_tone::Assessment,
}

/// Scores what `arguments` ask for.
///
/// # Errors
/// [`Failure::Usage`] for arguments that do not go together, [`Failure::Problems`] if lines were
/// bad, [`Failure::Io`] if input or output fails.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.format == Format::Jsonl {
        let about = &arguments.about;
        if arguments.text.is_some() {
            let message = "--format jsonl reads standard input, leave TEXT out";
            return Err(Failure::Usage(message.into()));
        }
        if about.role.is_some() || about.lang.is_some() || !about.context.is_empty() {
            let message = "with --format jsonl, role, lang and context are fields of each line";
            return Err(Failure::Usage(message.into()));
        }
        return jsonl::run(arguments.about.engine()?, std::io::stdin(), std::io::stdout().lock());
    }
    let engine = arguments.about.engine()?;
    let mut out = Out { shown: 0, json: arguments.json, paint: Paint::for_stdout(arguments.color) };
    if let Some(text) = &arguments.text {
        return quiet(out.show(&arguments.about.assess(&engine, text)?));
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprintln!("one message a line, Ctrl-D ends");
    }
    for text in stdin.lock().lines() {
        let text = text.map_err(|error| Failure::Io(format!("cannot read a message: {error}")))?;
        if text.trim().is_empty() {
            continue;
        }
        match out.show(&arguments.about.assess(&engine, &text)?) {
            Ok(()) => {}
            ended => return quiet(ended),
        }
    }
    Ok(())
}

/// An output that nobody reads any more ends the work well.
pub(crate) fn quiet(written: std::io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Io(format!("cannot write the answer: {error}")))
        }
        _ => Ok(()),
    }
}

struct Out {
    shown: u64,
    json: bool,
    paint: Paint,
}

impl Out {
    fn show(&mut self, scored: &Scored<'_>) -> std::io::Result<()> {
        let mut stdout = std::io::stdout().lock();
        self.shown += 1;
        let text = &*scored.masked.text;
        if self.json {
            let id: Box<RawValue> = to_raw_value(&self.shown)?;
            let changed = scored.masked.changed().then_some(text);
            serde_json::to_writer(&mut stdout, &Answer::new(&id, &scored.assessment, changed))?;
            writeln!(stdout)?;
        } else {
            if self.shown > 1 {
                writeln!(stdout)?;
            }
            let report = Report { text, assessment: &scored.assessment, paint: self.paint };
            write!(stdout, "{report}")?;
        }
        stdout.flush()
    }
}
