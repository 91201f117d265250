use zhili_eventlog::LogError;
use zhili_warehouse::WarehouseError;

/// Why an erasure does not go on. The owner tries again; the text says what a person can do.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// The log cannot be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// ClickHouse cannot be reached, or refuses.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    /// What the register holds of the erasure is not what its stage needs.
    #[error("the record of erasure {0} is incomplete: request the erasure again")]
    Incomplete(String),
    /// The key of receipts cannot be used.
    #[error("cannot sign the receipt: {0}")]
    Signature(#[from] crate::receipt::ReceiptError),
}

impl ErasureError {
    /// Label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Log(error) => error.kind(),
            Self::Warehouse(_) => "warehouse",
            Self::Incomplete(_) => "incomplete",
            Self::Signature(_) => "signature",
        }
    }
}
