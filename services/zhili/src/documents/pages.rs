//! The documents, taken apart.

use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// One document.
#[derive(Debug)]
pub(super) struct Page {
    /// Below the root of the project.
    pub(super) path: PathBuf,
    /// Where its links and pictures lead, as it says it.
    pub(super) links: Vec<String>,
    /// What stands behind `#` in a link to one of its headings.
    pub(super) anchors: Vec<String>,
    /// Blocks of code with the name of their language, which may be empty.
    pub(super) blocks: Vec<(String, String)>,
    /// Code in a line.
    pub(super) words: Vec<String>,
}

/// Root of the project.
pub(super) fn root() -> PathBuf {
    normal(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
}

/// A path without `.` and `..`, whatever is there.
pub(super) fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, part| {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            part => normal.push(part),
        }
        normal
    })
}

/// Every document of the project, in the order of their paths.
pub(super) fn pages() -> Vec<Page> {
    let mut paths = Vec::new();
    find(&root(), &mut paths);
    paths.sort();
    paths.iter().map(|path| Page::read(path)).collect()
}

fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        // What was built or fetched, and what tools keep for themselves.
        if name.starts_with('.') || ["target", "node_modules"].contains(&name.as_str()) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            find(&path, found);
        } else if path.extension().is_some_and(|it| it == "md") {
            found.push(path);
        }
    }
}

impl Page {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        Self::of(path.strip_prefix(root()).unwrap(), &text)
    }

    pub(super) fn of(path: &Path, text: &str) -> Self {
        let mut page = Self {
            path: path.to_owned(),
            links: Vec::new(),
            anchors: Vec::new(),
            blocks: Vec::new(),
            words: Vec::new(),
        };
        let (mut heading, mut block) = (None::<String>, None::<(String, String)>);
        let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
        for event in Parser::new_ext(text, options) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    page.add_anchor(&heading.take().unwrap_or_default());
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let language = match kind {
                        CodeBlockKind::Fenced(language) => language.into_string(),
                        CodeBlockKind::Indented => "indented".to_owned(),
                    };
                    block = Some((language, String::new()));
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Text(text) => {
                    if let Some((_, block)) = &mut block {
                        block.push_str(&text);
                    }
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                    page.words.push(text.into_string());
                }
                _ => {}
            }
        }
        page
    }

    /// As the sites that show such documents make it of a heading: in small letters, blanks as hyphens,
    /// without marks; of several equal ones the later ones are numbered.
    fn add_anchor(&mut self, heading: &str) {
        let kept = heading.chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it));
        let name: String =
            kept.map(|it| if it == ' ' { '-' } else { it }).collect::<String>().to_lowercase();
        let mut names = std::iter::once(name.clone()).chain((1..).map(|n| format!("{name}-{n}")));
        let free = names.find(|it| !self.anchors.contains(it));
        self.anchors.extend(free);
    }
}

#[test]
fn a_document_is_taken_apart() {
    let text =
        "# One `two`, three\n\n[a](b.md#c) ![d](e.png) `f g`\n\n```sh\nh\n```\n\n# One two three\n";
    let page = Page::of(Path::new("docs/x.md"), text);
    assert_eq!(page.links, ["b.md#c", "e.png"]);
    assert_eq!(page.anchors, ["one-two-three", "one-two-three-1"]);
    assert_eq!(page.blocks, [("sh".to_owned(), "h\n".to_owned())]);
    assert_eq!(page.words, ["two", "f g"]);
}
