//! `zhili token`: tokens of a data folder.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;
use zhili_runtime::Failure;
use zhili_runtime::auth::{
    Permission, Role, Tenant, TokenChange, TokenRecord, add_token, last_used, list_tokens,
    new_token, remove_token, token_changes,
};
use zhili_store::{Key, reader_key, reader_name};

use crate::client::{print, print_json};
use crate::duration::Length;
use crate::files::Folder;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Data folder whose tokens these are.
    #[arg(long, default_value = ".zhili", env = "ZHILI_DATA", global = true)]
    data: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a token and print it, once.
    Create {
        /// Name of whoever gets it; replaces a token of the same name.
        name: String,
        /// What it allows; may be given several times.
        #[arg(long = "role", required = true)]
        roles: Vec<RoleName>,
        /// Nothing but this of what the roles allow; may be given several times.
        #[arg(long = "scope")]
        scopes: Vec<Scope>,
        /// Whose data it opens.
        #[arg(long, default_value = "default")]
        tenant: String,
        /// How long it is valid, such as 90d; for ever unless given.
        #[arg(long)]
        expires: Option<Length>,
    },
    /// List tokens and when they were used last; what they are is not kept.
    List {
        /// One JSON object a token.
        #[arg(long)]
        json: bool,
    },
    /// Print user and key of the store with which dashboards read the rows of one tenant.
    Reader {
        /// Whose rows.
        #[arg(long, default_value = "default")]
        tenant: String,
    },
    /// Show who made and removed tokens.
    Log {
        /// One JSON object a change.
        #[arg(long)]
        json: bool,
    },
    /// Remove a token; it is refused from now on.
    Revoke {
        /// Its name.
        name: String,
    },
}

/// Names of roles on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    Publisher,
    Agent,
    Supervisor,
    Qa,
    Analyst,
    Dpo,
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Publisher => Self::Publisher,
            RoleName::Agent => Self::Agent,
            RoleName::Supervisor => Self::Supervisor,
            RoleName::Qa => Self::Qa,
            RoleName::Analyst => Self::Analyst,
            RoleName::Dpo => Self::Dpo,
            RoleName::Admin => Self::Admin,
        }
    }
}

/// Names of scopes on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scope {
    Publish,
    Transcripts,
    Aggregates,
    Incidents,
    Library,
    Config,
    Erase,
    Audit,
}

impl From<Scope> for Permission {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Publish => Self::Publish,
            Scope::Transcripts => Self::Transcripts,
            Scope::Aggregates => Self::Aggregates,
            Scope::Incidents => Self::Incidents,
            Scope::Library => Self::Library,
            Scope::Config => Self::Config,
            Scope::Erase => Self::Erase,
            Scope::Audit => Self::Audit,
        }
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let folder = Folder::new(arguments.data);
    match arguments.action {
        Action::Create { name, roles, scopes, tenant, expires } => {
            folder.create()?;
            let tenant = Tenant::try_from(tenant).map_err(Failure::Usage)?;
            let roles: BTreeSet<Role> = roles.into_iter().map(Role::from).collect();
            let expires = expires
                .map(|span| u64::try_from(Timestamp::now().as_second() + span.ms / 1_000))
                .transpose()
                .map_err(|_| Failure::Usage("--expires must lie in the future".to_owned()))?;
            let scopes: BTreeSet<Permission> = scopes.into_iter().map(Permission::from).collect();
            let useless = |it: &&Permission| !roles.iter().any(|role| role.may(**it));
            if let Some(scope) = scopes.iter().find(useless) {
                let message = format!("--scope {}: none of the roles allows it", plain(scope));
                return Err(Failure::Usage(message));
            }
            let (secret, record) = new_token(&name, tenant, roles, expires);
            let scopes = (!scopes.is_empty()).then_some(scopes);
            add_token(&folder.tokens(), TokenRecord { scopes, ..record })?;
            print(&format!("{}\n", secret.expose()))
        }
        Action::List { json } => {
            let file = folder.tokens();
            for record in list_tokens(&file)? {
                let listed = Listed::new(&record, last_used(&file, &record));
                if json {
                    print_json(&listed)?;
                } else {
                    print(&listed.line())?;
                }
            }
            Ok(())
        }
        Action::Log { json } => {
            for change in token_changes(&folder.tokens())? {
                if json {
                    print_json(&Changed::new(&change))?;
                } else {
                    print(&Changed::new(&change).line())?;
                }
            }
            Ok(())
        }
        Action::Reader { tenant } => {
            let tenant = Tenant::try_from(tenant).map_err(Failure::Usage)?;
            // The key of the store of `zhili up`.
            let key = Key::new(folder.token()?.expose())
                .map_err(|error| Failure::Usage(error.to_string()))?;
            let (user, key) = (reader_name(tenant.as_str()), reader_key(&key, tenant.as_str()));
            print(&format!("{user} {key}\n"))
        }
        Action::Revoke { name } => {
            if remove_token(&folder.tokens(), &name)? {
                return Ok(());
            }
            Err(Failure::Problems(format!("there is no token named {name}")))
        }
    }
}

/// A token as programs are told of it. Its hash opens nothing, and is no use to them.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    tenant: &'a str,
    roles: Vec<String>,
    scopes: Option<Vec<String>>,
    expires: Option<String>,
    last_used: Option<String>,
}

impl<'a> Listed<'a> {
    fn new(record: &'a TokenRecord, used: Option<u64>) -> Self {
        Self {
            name: &record.name,
            tenant: record.tenant.as_str(),
            roles: record.roles.iter().map(plain).collect(),
            scopes: record.scopes.as_ref().map(|scopes| scopes.iter().map(plain).collect()),
            expires: record.expires.and_then(at),
            last_used: used.and_then(at),
        }
    }

    fn may(&self) -> String {
        let may = self.roles.join(",");
        match &self.scopes {
            Some(scopes) => format!("{may} for {} only", scopes.join(",")),
            None => may,
        }
    }

    fn line(&self) -> String {
        let Self { name, tenant, expires, last_used, .. } = self;
        let may = self.may();
        let until =
            expires.as_ref().map_or_else(|| "for ever".to_owned(), |at| format!("until {at}"));
        let used =
            last_used.as_ref().map_or_else(|| "never used".to_owned(), |at| format!("used {at}"));
        format!("{name:<20} {tenant:<16} {may:<24} {until}, {used}\n")
    }
}

/// A change of the tokens as programs are told of it.
#[derive(Serialize)]
struct Changed<'a> {
    at: String,
    actor: &'a str,
    action: &'static str,
    token: Listed<'a>,
}

impl<'a> Changed<'a> {
    fn new(change: &'a TokenChange) -> Self {
        let at = Timestamp::from_millisecond(change.at_ms).unwrap_or_default();
        let TokenChange { actor, action, token, .. } = change;
        let at = format!("{at:.3}");
        Self { at, actor, action: action.name(), token: Listed::new(token, None) }
    }

    fn line(&self) -> String {
        let Self { at, actor, action, token } = self;
        let (name, tenant, may) = (token.name, token.tenant, token.may());
        format!("{at}  {actor:<20} {action:<8} {name:<20} {tenant:<16} {may}\n")
    }
}

/// The name of a role or a permission as the command line has it.
fn plain(name: &impl Debug) -> String {
    format!("{name:?}").to_lowercase()
}

fn at(seconds: u64) -> Option<String> {
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok().map(|at| at.to_string())
}
