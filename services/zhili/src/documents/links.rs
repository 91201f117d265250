//! Links within the project, and files that are named.

use std::path::Path;

use super::pages::{normal, pages, root};

/// Folders below the root whose files documents name by their path.
const FOLDERS: [&str; 7] = ["crates/", "deploy/", "docs/", "proto/", "services/", "tests/", ".ci/"];

/// What is named and only there once it was built.
const BUILT: [&str; 1] = ["services/metrics/web/dist"];

#[test]
fn links_of_documents_lead_to_what_is_there() {
    let (root, pages) = (root(), pages());
    let mut wrong = Vec::new();
    for page in &pages {
        let folder = page.path.parent().unwrap_or(Path::new(""));
        for link in &page.links {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if path.is_empty() { page.path.clone() } else { normal(&folder.join(path)) };
            let known = pages.iter().find(|page| page.path == target);
            let leads = match known {
                Some(page) => anchor.is_empty() || page.anchors.iter().any(|it| it == anchor),
                None => anchor.is_empty() && root.join(&target).exists(),
            };
            if !leads {
                wrong.push(format!("{}: {link}", page.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere: {wrong:#?}");
    let all: usize = pages.iter().map(|page| page.links.len()).sum();
    assert!(all > 50, "{all} links were found");
}

#[test]
fn files_that_documents_name_are_there() {
    let (root, mut named, mut wrong) = (root(), 0, Vec::new());
    for page in pages() {
        for word in &page.words {
            let is_path = FOLDERS.iter().any(|folder| word.starts_with(folder))
                && word.chars().all(|it| it.is_ascii_alphanumeric() || "/._-".contains(it));
            if is_path && !BUILT.contains(&word.as_str()) {
                named += 1;
                // A document of one part names what is in that part.
                if !page.path.ancestors().any(|folder| root.join(folder).join(word).exists()) {
                    wrong.push(format!("{}: {word}", page.path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "files that are not there: {wrong:#?}");
    assert!(named > 30, "{named} files are named");
}
