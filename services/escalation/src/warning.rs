//! What keeps people from being paged: a word and its parts for programs, a sentence for people.

use std::fmt::{self, Display, Formatter};

use zhili_incident::{ANY_TENANT, DEFAULT_TEAM, Family};
use zhili_proto::escalation::v1 as pb;

use crate::convert::wire_family;

/// Incidents that a warning names.
const MOST_NAMED: usize = 3;

/// Something that a person has to do, or pages reach nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Warning {
    /// The bundle in force cannot be read; the one before counts.
    Unreadable { tenant: String, error: String },
    /// No team of the tenant has settings.
    NobodyConfigured { tenant: String },
    /// Teams without settings of their own have nobody, for there is no team `default`.
    NoDefaultTeam { tenant: String },
    /// A team's policies page nobody; about these families only, where there are some that do.
    NobodyInTeam { tenant: String, team: String, families: Vec<Family>, cause: Cause },
    /// The last send to each destination of a team failed, to this one thus.
    DestinationsFail { tenant: String, team: String, destination: String, detail: String },
    /// Nobody has answered for these incidents, and nobody is paged any more. As they are
    /// listed: the gravest first.
    Silent { reason: Reason, incidents: Vec<String> },
}

/// Why a team's policies page nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    NoDestination,
    OnlyWatchers,
}

/// Why an incident pages nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    NobodyReachable,
    NobodyAvailable,
    PolicyEnded,
}

impl Cause {
    const fn name(self) -> &'static str {
        match self {
            Self::NoDestination => "no_destination",
            Self::OnlyWatchers => "only_watchers",
        }
    }
}

impl Reason {
    pub(crate) const ALL: [Self; 3] =
        [Self::NobodyReachable, Self::NobodyAvailable, Self::PolicyEnded];

    const fn name(self) -> &'static str {
        match self {
            Self::NobodyReachable => "nobody_reachable",
            Self::NobodyAvailable => "nobody_available",
            Self::PolicyEnded => "policy_ended",
        }
    }
}

/// For whom, in a sentence.
fn whose(tenant: &str) -> String {
    if tenant == ANY_TENANT {
        "tenants without a configuration of their own".to_owned()
    } else {
        format!("tenant {tenant}")
    }
}

impl Display for Warning {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { tenant, error } => write!(
                f,
                "the configuration of tenant {tenant} cannot be read, the one before stays in force: \
                 {error}; mend it and put it in force with `zhili config apply FILE`"
            ),
            Self::NobodyConfigured { tenant } => write!(
                f,
                "nobody is reachable for {}: urgent complaints page no one; name a destination under \
                 [escalation] in a bundle (`zhili config apply FILE`) or set default_webhook \
                 (`zhili up --webhook URL`)",
                whose(tenant)
            ),
            Self::NoDefaultTeam { tenant } => write!(
                f,
                "nobody is reachable for {} in teams without settings of their own; add \
                 [escalation.teams.{DEFAULT_TEAM}] to the bundle (`zhili config get`, \
                 `zhili config apply FILE`)",
                whose(tenant)
            ),
            Self::NobodyInTeam { tenant, team, families, cause } => {
                write!(f, "nobody is reachable in team {team} for {}", whose(tenant))?;
                if !families.is_empty() {
                    let names: Vec<&str> = families.iter().map(|family| family.name()).collect();
                    write!(f, " about {}", names.join(", "))?;
                }
                f.write_str(match cause {
                    Cause::NoDestination => {
                        ": no destination is configured that pages a person; add one to the bundle"
                    }
                    Cause::OnlyWatchers => {
                        ": its policy names no destination that pages a person; add a webhook to a \
                         step in the bundle"
                    }
                })?;
                f.write_str(" (`zhili config get`, `zhili config apply FILE`)")
            }
            Self::DestinationsFail { tenant, team, destination, detail } => write!(
                f,
                "team {team} of tenant {tenant}: the last send to every destination failed, to \
                 {destination}: {detail}; try it with \
                 `zhili incidents test {destination} --team {team}`"
            ),
            Self::Silent { reason, incidents } => {
                let (incident, this) = match incidents.len() {
                    1 => ("1 open incident pages".to_owned(), "it"),
                    count => (format!("{count} open incidents page"), "them"),
                };
                let cause = match reason {
                    Reason::NobodyReachable => "the team has no destination",
                    Reason::NobodyAvailable => {
                        "everybody of the policy has quiet hours, or nobody is on call"
                    }
                    Reason::PolicyEnded => {
                        "the policy has come to its end and nobody has acknowledged"
                    }
                };
                let named = &incidents[..incidents.len().min(MOST_NAMED)];
                let more = if incidents.len() > MOST_NAMED { ", ..." } else { "" };
                write!(
                    f,
                    "{incident} nobody, for {cause} ({}{more}): look at {this} with \
                     `zhili incidents list`, take {this} with `zhili incidents ack INCIDENT`",
                    named.join(", ")
                )
            }
        }
    }
}

impl From<&Warning> for pb::Warning {
    fn from(warning: &Warning) -> Self {
        let message = warning.to_string();
        let of = |code: &str| Self { code: code.to_owned(), message, ..Self::default() };
        match warning.clone() {
            Warning::Unreadable { tenant, error } => {
                Self { tenant, detail: error, ..of("configuration_unreadable") }
            }
            Warning::NobodyConfigured { tenant } => Self { tenant, ..of("nobody_configured") },
            Warning::NoDefaultTeam { tenant } => Self { tenant, ..of("no_default_team") },
            Warning::NobodyInTeam { tenant, team, families, cause } => Self {
                tenant,
                team,
                families: families.into_iter().map(|it| wire_family(it).into()).collect(),
                cause: cause.name().to_owned(),
                ..of("nobody_in_team")
            },
            Warning::DestinationsFail { tenant, team, destination, detail } => {
                Self { tenant, team, destination, detail, ..of("destinations_fail") }
            }
            Warning::Silent { reason, mut incidents } => {
                let count = incidents.len() as u64;
                incidents.truncate(MOST_NAMED);
                let cause = reason.name().to_owned();
                Self { cause, count, incidents, ..of("incidents_page_nobody") }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incidents_that_page_nobody_are_counted_and_a_few_named() {
        let silent = |count: usize| {
            let incidents = (0..count).map(|number| format!("inc_{number}")).collect();
            Warning::Silent { reason: Reason::NobodyReachable, incidents }
        };
        let one = silent(1).to_string();
        assert!(
            one.starts_with("1 open incident pages nobody") && one.contains("(inc_0)"),
            "{one}"
        );
        let many = silent(80);
        let words = many.to_string();
        assert!(
            words.contains("80 open") && words.contains("(inc_0, inc_1, inc_2, ...)"),
            "{words}"
        );
        let told = pb::Warning::from(&many);
        assert_eq!(
            (told.count, told.incidents.len(), told.cause.as_str()),
            (80, 3, "nobody_reachable")
        );
        assert_eq!(told.message, words);
    }
}
