//! `zhili token`: tokens of a data folder.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use jiff::Timestamp;
use zhili_runtime::Failure;
use zhili_runtime::auth::{Role, Tenant, add_token, list_tokens, new_token, remove_token};

use crate::client::print;
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
        /// Whose data it opens.
        #[arg(long, default_value = "default")]
        tenant: String,
        /// How long it is valid, such as 90d; for ever unless given.
        #[arg(long)]
        expires: Option<Length>,
    },
    /// List tokens; what they are is not kept.
    List,
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

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let folder = Folder::new(arguments.data);
    match arguments.action {
        Action::Create { name, roles, tenant, expires } => {
            folder.create()?;
            let tenant = Tenant::try_from(tenant).map_err(Failure::Usage)?;
            let roles: BTreeSet<Role> = roles.into_iter().map(Role::from).collect();
            let expires = expires
                .map(|span| u64::try_from(Timestamp::now().as_second() + span.ms / 1_000))
                .transpose()
                .map_err(|_| Failure::Usage("--expires must lie in the future".to_owned()))?;
            let (secret, record) = new_token(&name, tenant, roles, expires);
            add_token(&folder.tokens(), record)?;
            print(&format!("{}\n", secret.expose()))
        }
        Action::List => {
            for record in list_tokens(&folder.tokens())? {
                let roles: Vec<String> =
                    record.roles.iter().map(|role| format!("{role:?}").to_lowercase()).collect();
                let until = record
                    .expires
                    .and_then(|at| Timestamp::from_second(i64::try_from(at).ok()?).ok())
                    .map_or_else(|| "for ever".to_owned(), |at| format!("until {at}"));
                let (name, tenant) = (record.name, record.tenant);
                print(&format!("{name:<20} {tenant:<16} {:<24} {until}\n", roles.join(",")))?;
            }
            Ok(())
        }
        Action::Revoke { name } => {
            if remove_token(&folder.tokens(), &name)? {
                return Ok(());
            }
            Err(Failure::Problems(format!("there is no token named {name}")))
        }
    }
}
