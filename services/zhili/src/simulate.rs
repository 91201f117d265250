//! Placeholder until the command lands on this branch.

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Result<(), zhili_runtime::Failure> {
    Err(zhili_runtime::Failure::Usage("not part of this build".to_owned()))
}
