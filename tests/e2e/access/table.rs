//! The table of who may do what.

use std::sync::LazyLock;

use zhili_runtime::auth::Role;

/// Roles in the order of the table's columns.
pub(crate) const ROLES: [Role; 7] = [
    Role::Publisher,
    Role::Agent,
    Role::Supervisor,
    Role::Qa,
    Role::Analyst,
    Role::Dpo,
    Role::Admin,
];

static TABLE: LazyLock<String> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/access/endpoints.txt");
    std::fs::read_to_string(path).unwrap()
});

/// What comes of a request of somebody who may make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// An answer that holds something of the tenant.
    Shown,
    /// An answer that holds nothing of the tenant.
    Hidden,
    /// An answer, or that the state of the thing is against it.
    Done,
    /// There is no such thing.
    Unknown,
    /// A page, where the program was built with its console.
    Page,
    /// That nobody is logged in.
    Nobody,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// `ingest`, `scoring`, `escalation`, `metrics`, or `each` of them.
    pub(crate) service: &'static str,
    /// `gRPC`, or a method of HTTP.
    pub(crate) kind: &'static str,
    /// `package.Service/Method`, or the path of a route.
    pub(crate) endpoint: &'static str,
    /// Who may; `None` for anybody.
    pub(crate) roles: Option<Vec<Role>>,
    pub(crate) own: Expected,
    pub(crate) other: Expected,
    /// With `$names` to be filled in.
    pub(crate) request: &'static str,
}

/// All lines, in the order in which they are walked.
pub(crate) fn rows() -> Vec<Row> {
    let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(row).collect()
}

fn row(line: &'static str) -> Row {
    let mut rest = line;
    let mut next = || {
        let (word, after) = rest.trim_start().split_once(' ').expect(line);
        rest = after;
        word
    };
    let (service, kind, endpoint, roles) = (next(), next(), next(), next());
    let (own, other) = (expected(next()), expected(next()));
    let roles = (roles != "open").then(|| {
        assert_eq!(roles.len(), ROLES.len(), "{line}");
        let may = ROLES.into_iter().zip(roles.chars());
        may.filter(|(_, mark)| *mark == 'x').map(|(role, _)| role).collect()
    });
    Row { service, kind, endpoint, roles, own, other, request: rest.trim() }
}

fn expected(word: &str) -> Expected {
    match word {
        "shown" => Expected::Shown,
        "hidden" => Expected::Hidden,
        "done" => Expected::Done,
        "unknown" => Expected::Unknown,
        "page" => Expected::Page,
        "nobody" => Expected::Nobody,
        other => panic!("{other:?} is nothing that may come of a request"),
    }
}
